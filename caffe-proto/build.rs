//! Compiles `proto/caffe.proto` to Rust, with no `protoc` installed.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/caffe.proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = protox::compile(["caffe.proto"], ["proto"])?;
    // The text reader looks fields up by name in this.
    fs::write(out.join("caffe.descriptor"), files.encode_to_vec())?;

    let mut config = prost_build::Config::new();
    // A layer has one field for each of some hundred layer types and uses one or two: on the heap, an
    // absent one takes a pointer's room.
    for message in &files.file[0].message_type {
        if !matches!(message.name(), "LayerParameter" | "V1LayerParameter" | "V0LayerParameter") {
            continue;
        }
        for field in &message.field {
            if field.label() == Label::Optional && field.r#type() == Type::Message {
                config.boxed(format!(".caffe.{}.{}", message.name(), field.name()));
            }
        }
    }
    config.compile_fds(files)?;
    Ok(())
}
