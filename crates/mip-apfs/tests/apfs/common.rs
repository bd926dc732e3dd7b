//! What the tests share.

use std::sync::Arc;

use mip_apfs::{Container, Found, Volume};
use mip_base::{Code, EntryKind, Job, ReadAt, Result, Source, read_full_at};

pub(crate) fn open(image: &[u8]) -> Result<Container> {
    Container::open(Arc::new(image.to_vec()), &Job::default())
}

pub(crate) fn mount(image: &[u8]) -> Result<Volume> {
    open(image)?.volume(0, &Job::default())
}

pub(crate) fn walk(volume: &Volume) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    volume.walk(&Job::default(), &mut |found| {
        all.push(found);
        Ok(())
    })?;
    Ok(all)
}

pub(crate) fn bytes(source: &Source) -> Result<Vec<u8>> {
    let mut out = vec![0; source.size() as usize];
    read_full_at(&**source, 0, &mut out, Code::Truncated)?;
    Ok(out)
}

/// Touches everything there is: all that can fail on a hostile image.
pub(crate) fn read_all(image: &[u8]) -> Result<usize> {
    let job = Job::default();
    let container = open(image)?;
    let mut read = 0;
    for index in 0..container.volumes().len() {
        let volume = container.volume(index, &job)?;
        for found in walk(&volume)? {
            let node = &found.node;
            match node.kind {
                EntryKind::File => {
                    let source = volume.open_file(node, &job)?;
                    // A hostile size may be anything: the head and the tail are enough.
                    let mut part = [0; 10_000];
                    let n = (source.size() as usize).min(part.len());
                    read_full_at(&*source, 0, &mut part[..n], Code::Truncated)?;
                    let at = source.size() - n as u64;
                    read_full_at(&*source, at, &mut part[..n], Code::Truncated)?;
                    read += n;
                    volume.resource_fork(node, &job)?;
                }
                EntryKind::Symlink => read += volume.read_link(node, &job)?.len(),
                EntryKind::Directory => read += volume.children(node, &job)?.len(),
                _ => {}
            }
            for x in volume.xattrs(node, &job)? {
                volume.xattr(node, &x.name, 1 << 20, &job)?;
            }
            let same = volume.lookup(&found.path, &job)?;
            assert!(same.is_some_and(|s| s.id == node.id), "{} is found by walk only", found.path);
        }
    }
    Ok(read)
}

pub(crate) fn code_of(image: &[u8]) -> Code {
    read_all(image).expect_err("the image is read").code()
}
