//! `.safetensors`: a JSON header, then the values.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use caffe_proto::{Payload, Storage};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::container::{Container, Contents};
use crate::output::Output;
use crate::{Dtype, Error, Tensor, Weights};

/// The format's own limit on the header.
const LONGEST_HEADER: u64 = 100_000_000;

/// More tensors than any file of weights has.
const MOST_TENSORS: usize = 1 << 18;

/// The key of the header's entry that is no tensor.
const METADATA: &str = "__metadata__";

/// Reads and writes the format that Hugging Face's `safetensors` defined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Safetensors;

impl Container for Safetensors {
    fn read(&self, storage: &Arc<Storage>) -> Result<Contents, Error> {
        let damaged = |offset: u64, what: String| {
            Error::from(caffe_proto::Error::Damaged { path: storage.path().to_path_buf(), what, offset })
        };
        let len = storage.split_first_chunk::<8>().map(|(len, _)| u64::from_le_bytes(*len));
        let len = len.filter(|&len| len <= LONGEST_HEADER && len <= storage.len() as u64 - 8);
        let Some(len) = len else {
            return Err(damaged(0, "the header's length does not fit the file".to_owned()));
        };
        let start = 8 + len as usize;
        let header = serde_json::from_slice::<Header>(&storage[8..start])
            .map_err(|error| damaged(8 + error.column() as u64, format!("the header is wrong: {error}")))?;

        let mut contents = Contents::default();
        let mut ranges = Vec::new();
        for (name, entry) in header.tensors {
            let [from, to] = entry.data_offsets;
            let there = (storage.len() - start) as u64;
            if from > to || to > there {
                let what = format!("tensor `{name}` lies at {from}..{to} of {there} bytes of values");
                return Err(damaged(8, what));
            }
            let Some(dtype) = dtype(&entry.dtype) else {
                contents.reject(
                    name,
                    format!("type {} is none that Caffe's or Chainer's weights have", entry.dtype),
                );
                continue;
            };
            let values = Payload::Borrowed(storage.slice(start + from as usize..start + to as usize));
            let tensor = Tensor::new(dtype, entry.shape, values)
                .map_err(|error| damaged(8, format!("tensor `{name}`: {error}")))?;
            ranges.push((from, to));
            contents.weights.insert(name, tensor)?;
        }
        ranges.sort_unstable();
        if let Some(pair) = ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            return Err(damaged(start as u64 + pair[1].0, "two tensors share bytes".to_owned()));
        }
        contents.weights.set_metadata(header.metadata);
        Ok(contents)
    }

    fn write(&self, weights: &Weights, output: &mut Output<'_>) -> Result<(), Error> {
        // Wide elements first: then every tensor begins at a multiple of its element's size.
        let mut laid_out = weights.iter().collect::<Vec<_>>();
        laid_out.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size()));
        let mut offsets = BTreeMap::new();
        let mut end = 0;
        for (name, tensor) in &laid_out {
            let start = end;
            end += tensor.values().len();
            offsets.insert(*name, [start, end]);
        }

        let mut entries = Vec::new();
        if !weights.metadata().is_empty() {
            entries.push(format!("\"{METADATA}\":{}", json(weights.metadata())));
        }
        for (name, tensor) in weights.iter() {
            if name == METADATA {
                let what = "a safetensors file keeps this name for itself".to_owned();
                return Err(Error::Tensor { name: name.to_owned(), what });
            }
            entries.push(format!(
                "{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":{}}}",
                json(&name),
                dtype_name(tensor.dtype()),
                json(&tensor.shape()),
                json(&offsets[name])
            ));
        }
        let mut header = format!("{{{}}}", entries.join(","));
        let padding = header.len().next_multiple_of(8) - header.len();
        header.extend(std::iter::repeat_n(' ', padding));
        output.bytes(&(header.len() as u64).to_le_bytes())?;
        output.bytes(header.as_bytes())?;
        for (_, tensor) in laid_out {
            output.payload(tensor.values(), None)?;
        }
        Ok(())
    }
}

/// The header, its tensors in the order of the file.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let mut header = Header { metadata: BTreeMap::new(), tensors: Vec::new() };
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(M::Error::custom(format!("two entries are named `{name}`")));
                    }
                    if name == METADATA {
                        header.metadata = map.next_value()?;
                    } else if header.tensors.len() == MOST_TENSORS {
                        return Err(M::Error::custom(format!("there are more than {MOST_TENSORS} tensors")));
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

fn json(value: &impl serde::Serialize) -> String {
    // Strings and numbers always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

fn dtype(name: &str) -> Option<Dtype> {
    ALL.into_iter().find(|&dtype| dtype_name(dtype) == name)
}

const ALL: [Dtype; 12] = [
    Dtype::Bool,
    Dtype::I8,
    Dtype::I16,
    Dtype::I32,
    Dtype::I64,
    Dtype::U8,
    Dtype::U16,
    Dtype::U32,
    Dtype::U64,
    Dtype::F16,
    Dtype::F32,
    Dtype::F64,
];

fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BOOL",
        Dtype::I8 => "I8",
        Dtype::I16 => "I16",
        Dtype::I32 => "I32",
        Dtype::I64 => "I64",
        Dtype::U8 => "U8",
        Dtype::U16 => "U16",
        Dtype::U32 => "U32",
        Dtype::U64 => "U64",
        Dtype::F16 => "F16",
        Dtype::F32 => "F32",
        Dtype::F64 => "F64",
    }
}
