//! Lists a raw HFS+ volume as JSON lines: path, kind, size, SHA-256 or link target.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "an example")]

use std::io::Read;
use std::sync::Arc;

use mip_base::{Cursor, EntryKind, FileAt, Job, Source, hex};
use mip_hfsplus::Volume;
use sha2::{Digest, Sha256};

fn digest(source: Source) -> String {
    let mut h = Sha256::new();
    let mut cursor = Cursor::new(source);
    let mut buf = vec![0; 65536];
    loop {
        match cursor.read(&mut buf).expect("read") {
            0 => return hex(&h.finalize()),
            n => h.update(buf.get(..n).unwrap_or(&[])),
        }
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("a raw volume");
    let job = Job::default();
    let source: Source = Arc::new(FileAt::open(path.as_ref()).expect("open"));
    let volume = Volume::open(source, &job).expect("volume");
    println!("{:?}", volume.info());
    let r = volume.walk(&job, &mut |f| {
        let what = match f.node.kind {
            EntryKind::File => match volume.open_file(&f.node, &job) {
                Ok(s) => digest(s),
                Err(e) => format!("{e:?}"),
            },
            EntryKind::Symlink => format!("{:?}", volume.read_link(&f.node, &job)),
            _ => String::new(),
        };
        let n = &f.node;
        println!(
            "{:?} {:?} id={} mode={:o} {}:{} size={} mtime={} links={} c={:?} alias={} {what}",
            f.path,
            n.kind,
            n.id,
            n.mode,
            n.uid,
            n.gid,
            n.size,
            n.mtime,
            n.links,
            n.compressed,
            n.finder_alias
        );
        if let Some(r) = volume.resource_fork(n, &job)? {
            println!("   :rsrc {} {}", n.resource_fork, digest(r));
        }
        for x in volume.xattrs(n, &job)? {
            let v = volume.xattr(n, &x.name, 1 << 20, &job)?.unwrap();
            println!("   :{} {} {}", x.name, x.size, hex(&Sha256::digest(&v)));
        }
        let again = volume.lookup(&f.path, &job)?;
        assert_eq!(format!("{again:?}"), format!("{:?}", Some(&f.node)), "{}", f.path);
        Ok(())
    });
    if let Err(e) = r {
        println!("ERROR {e:?}");
    }
}
