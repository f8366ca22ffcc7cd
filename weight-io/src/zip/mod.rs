//! Zip archives, as far as npz files need them: stored and deflated members, and those beyond 4 GiB.
//!
//! The reader lists members and leaves their bytes where they are; the writer never holds a member.

mod member;
mod read;
mod write;

pub(crate) use member::Member;
pub(crate) use read::members;
pub(crate) use write::Writer;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

/// The extra field of sizes and offsets that 32 bits do not hold.
const ZIP64: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
