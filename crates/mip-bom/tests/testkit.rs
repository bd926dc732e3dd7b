//! The Bom builder of the testkit and this reader were written apart: they must agree.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use mip_base::{EntryKind, Job, MemoryFile, WriteAt as _};
use mip_bom::Bom;
use mip_testkit::app::App;
use mip_testkit::bom::{bom, cksum};
use mip_testkit::tree::{Content, TIME};

#[test]
fn reads_every_node_that_the_builder_wrote() {
    let tree = App::new("Sample", "org.example.Sample", "1", "2").icon().framework("Core").tree();
    let file = MemoryFile::new();
    file.write_all_at(0, &bom(&tree, 501, 20)).unwrap();
    let job = Job::default();
    let read = Bom::open(Arc::new(file), &job).unwrap().paths(&job).unwrap();

    let read: Vec<_> = read.iter().collect();
    let written: Vec<_> = tree.nodes().collect();
    assert_eq!(read.len(), written.len());
    for (got, (path, node)) in read.iter().zip(&written) {
        assert_eq!(got.path.as_str(), *path);
        assert_eq!((got.mode & 0o7777, got.uid, got.gid, got.mtime), (node.mode, 501, 20, TIME));
        match &node.content {
            Content::Dir => assert_eq!(got.kind, EntryKind::Directory),
            Content::File(b) => {
                assert_eq!((got.kind, got.size), (EntryKind::File, b.len() as u64));
                assert_eq!(got.checksum, cksum(b));
            }
            Content::Link(to) => {
                assert_eq!(
                    (got.kind, got.link.as_deref()),
                    (EntryKind::Symlink, Some(to.as_str()))
                );
            }
        }
    }
}
