//! numpy's `.npz`: a zip archive of `.npy` arrays, as Chainer's `save_npz` writes it.

use std::sync::Arc;

use caffe_proto::{Payload, Sink, Source, Storage};

use crate::container::{Container, Contents};
use crate::output::Output;
use crate::source::Whole;
use crate::zip::{Member, Writer, members};
use crate::{Error, Tensor, Weights, npy};

/// The suffix that every array's member has.
const SUFFIX: &str = ".npy";

/// Reads arrays of any order and numeric type; writes them in C order, little-endian.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Npz {
    /// Deflate the members.
    pub(crate) compress: bool,
}

impl Container for Npz {
    fn read(&self, storage: &Arc<Storage>) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        let members = members(storage)?;
        if !members.is_empty() && !members.iter().any(|member| member.name.ends_with(SUFFIX)) {
            return Err(not_npz(storage, &members));
        }
        for member in members {
            let Some(name) = member.name.strip_suffix(SUFFIX) else {
                contents.reject(member.name, "it is not an .npy array");
                continue;
            };
            let name = name.to_owned();
            match tensor(member)? {
                Ok(tensor) => contents.weights.insert(name, tensor)?,
                Err(why) => contents.reject(name, why),
            }
        }
        Ok(contents)
    }

    fn write(&self, weights: &Weights, output: &mut Output<'_>) -> Result<(), Error> {
        let mut archive = Writer::new(output);
        for (name, tensor) in weights.iter() {
            let member = format!("{name}{SUFFIX}");
            if member.len() > usize::from(u16::MAX) {
                let what = format!("a name of {} bytes is longer than a zip archive takes", name.len());
                return Err(Error::Tensor { name: name.chars().take(60).collect(), what });
            }
            let head = npy::write(tensor.dtype(), tensor.shape());
            archive.member(&member, &head, tensor.values(), self.compress)?;
        }
        Ok(archive.finish()?)
    }
}

/// The error of an archive of other things.
fn not_npz(storage: &Storage, members: &[Member]) -> Error {
    let what = if members.iter().any(|member| member.name.ends_with("data.pkl")) {
        "this is a PyTorch file, which runs code when it is opened: save .safetensors in PyTorch"
    } else {
        "this zip archive holds no .npy arrays: unpack it first"
    };
    caffe_proto::Error::NotAModel { path: storage.path().to_path_buf(), what: what.to_owned() }.into()
}

/// The array in a member, or why it is none that weights can be.
fn tensor(member: Member) -> Result<Result<Tensor, String>, Error> {
    // Nearly every header is shorter than this.
    const USUAL: usize = 256;
    let mut head = member.head(USUAL)?;
    let header = match npy::len(&head) {
        Ok(len) => {
            if len > head.len() {
                head = member.head(len)?;
            }
            npy::parse(&head)
        }
        Err(why) => Err(why),
    };
    let header = match header {
        Ok(header) => header,
        Err(why) => return Ok(Err(why)),
    };
    let there = member.size.saturating_sub(header.len as u64);
    if let Err(what) = header.fits(there) {
        return Err(member.damaged(what).into());
    }
    let values = Values { member, skip: header.len, size: header.dtype.size() };
    Ok(Ok(header.tensor(Payload::Made(Arc::new(values)))?))
}

/// The values of a member: what follows its header, checked against its CRC-32 while they are read.
#[derive(Debug)]
struct Values {
    member: Member,
    skip: usize,
    size: usize,
}

impl Source for Values {
    fn len(&self) -> u64 {
        self.member.size - self.skip as u64
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), caffe_proto::Error> {
        let mut skip = self.skip;
        let mut whole = Whole::new(self.size, sink);
        self.member.read(&mut |bytes| {
            let (_, rest) = bytes.split_at(skip.min(bytes.len()));
            skip -= bytes.len() - rest.len();
            whole.push(rest)
        })
    }
}
