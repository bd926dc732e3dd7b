//! `mip cat`: one file out of a package, an app, a disk image or an archive.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mip_base::{Code, Error, Result, len64};
use mip_core::signing::Password;
use mip_core::{LookOptions, REPORT_VERSION};

use crate::args::{CatArgs, usage};
use crate::commands::{inside, shown};
use crate::context::{Context, Reply, about};
use crate::output::{self, json};
use crate::password::Source;

pub(crate) fn run(args: &CatArgs, context: &Context) -> Result<Reply> {
    let (file, paths) = inside(&args.file, args.path.as_slice())?;
    let [path] = paths.as_slice() else {
        return Err(usage("nothing says which file", "give PATH; `mip files` lists what there is"));
    };
    let job = context.job(&shown(&file, &args.stdin.stdin_name));
    let place = |e| about(&file, e);
    let input = context.input(&file, &args.stdin.stdin_name, &job).map_err(place)?;
    let mut kept = Kept { bytes: Vec::new(), limit: context.limits().small_file };
    let mut work = |password: Option<&Password>| {
        let mut options = LookOptions::new();
        options.image_password = password.cloned();
        if context.json {
            mip_core::cat(&input, path, &mut kept, &options, &job)
        } else {
            mip_core::cat(&input, path, &mut output::Stdout, &options, &job)
        }
    };
    let entry = Source::image(&args.password).with(&file, &mut work).map_err(place)?;
    let mut object = serde_json::Map::new();
    object.insert("schema_version".to_owned(), REPORT_VERSION.into());
    object.insert("entry".to_owned(), json::value(&entry)?);
    let (key, text) = match String::from_utf8(kept.bytes) {
        Ok(text) => ("text", text),
        Err(e) => ("base64", STANDARD.encode(e.as_bytes())),
    };
    object.insert(key.to_owned(), text.into());
    Ok(Reply::done(String::new(), object.into()))
}

/// A file that becomes part of a JSON object.
struct Kept {
    bytes: Vec<u8>,
    limit: u64,
}

impl Write for Kept {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let have = len64(self.bytes.len()).saturating_add(len64(buf.len()));
        if have > self.limit {
            return Err(Error::limit(Code::LimitMemory, "small-file", self.limit, have)
                .hint("leave --json out to get the file itself")
                .into());
        }
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
