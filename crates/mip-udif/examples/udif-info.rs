//! Shows what a disk image says about itself: `udif-info FILE [--verify]`.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;

use mip_base::{Code, Error, FileAt, Job, ReadAt as _, Result, escape};
use mip_udif::Udif;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or_else(|| Error::new(Code::Usage, "udif-info FILE [--verify]"))?;
    let job = Job::default();
    let image = Udif::open(Arc::new(FileAt::open(Path::new(&file))?), &job)?;
    println!("disk: {} bytes, stored as {}", image.size(), image.codecs().join(", "));
    for t in image.tables() {
        println!("{:>12} +{:<10} {}", t.first_sector, t.sectors, escape(&t.name));
    }
    for a in image.licence().iter().flat_map(|l| &l.agreements) {
        let language = a.language.as_deref().unwrap_or("no language");
        println!("licence agreement in {language}, {} bytes", a.text.len());
    }
    for note in image.notes() {
        println!("note: {}", escape(note));
    }
    if args.next().as_deref() == Some("--verify") {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        println!("{:?}", image.verify(threads, &job)?);
    }
    Ok(())
}
