//! The list of an archive's members.

use std::collections::HashSet;
use std::sync::Arc;

use caffe_proto::{Error, Slice, Storage};

use super::member::Member;
use super::{CENTRAL, DEFLATED, END, END64, LOCAL, LOCATOR64, STORED, ZIP64};

/// More members than any file of weights has.
const MOST_MEMBERS: u64 = 1 << 18;

/// The members of the archive, in the order of its directory.
pub(crate) fn members(storage: &Arc<Storage>) -> Result<Vec<Member>, Error> {
    let archive = Archive { storage };
    let (count, range) = archive.directory()?;
    if count > MOST_MEMBERS {
        let what = format!("the archive has {count} members");
        return Err(Error::TooLarge { path: storage.path().to_path_buf(), what, limit: MOST_MEMBERS });
    }
    let mut at = range.0;
    let mut members = Vec::new();
    let mut names = HashSet::new();
    for _ in 0..count {
        let (member, next) = archive.member(at, range)?;
        if !names.insert(member.name.clone()) {
            return Err(archive.damaged(at, format!("two members are named `{}`", member.name)));
        }
        members.push(member);
        at = next;
    }
    archive.check_overlaps(&members)?;
    Ok(members)
}

struct Archive<'a> {
    storage: &'a Arc<Storage>,
}

impl Archive<'_> {
    /// How many members the directory lists, and from where to where it lies.
    fn directory(&self) -> Result<(u64, (u64, u64)), Error> {
        const RECORD: usize = 22;
        const LONGEST_COMMENT: usize = 0xffff;
        let bytes = &self.storage[..];
        let last = bytes.len().checked_sub(RECORD);
        let Some(end) = last.and_then(|last| {
            let first = last.saturating_sub(LONGEST_COMMENT);
            (first..=last).rev().find(|&at| bytes[at..].starts_with(&END.to_le_bytes()))
        }) else {
            return Err(self.damaged(bytes.len() as u64, "no directory at its end: the archive is cut off"));
        };
        let end = end as u64;
        let mut count = u64::from(self.u16(end + 10)?);
        let mut size = u64::from(self.u32(end + 12)?);
        let mut start = u64::from(self.u32(end + 16)?);
        let mut limit = end;
        if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
            let locator = end.wrapping_sub(20);
            if self.u32(locator).ok() == Some(LOCATOR64) {
                let record = self.u64(locator + 8)?;
                if self.u32(record)? != END64 {
                    return Err(self.damaged(record, "no zip64 directory record where the locator says"));
                }
                count = self.u64(record + 32)?;
                size = self.u64(record + 40)?;
                start = self.u64(record + 48)?;
                limit = record;
            }
        }
        match start.checked_add(size) {
            Some(stop) if stop <= limit => Ok((count, (start, stop))),
            _ => Err(self.damaged(end, format!("the directory of {size} bytes does not fit before its end"))),
        }
    }

    /// The member that the directory's record at `at` describes, and where the next record is.
    fn member(&self, at: u64, directory: (u64, u64)) -> Result<(Member, u64), Error> {
        if self.u32(at)? != CENTRAL || at + 46 > directory.1 {
            return Err(self.damaged(at, "the directory ends before its last member"));
        }
        let flags = self.u16(at + 8)?;
        let method = self.u16(at + 10)?;
        let crc = self.u32(at + 16)?;
        let mut wide = [self.u32(at + 24)?, self.u32(at + 20)?, self.u32(at + 42)?].map(u64::from);
        let [name_len, extra_len, comment_len] =
            [self.u16(at + 28)?, self.u16(at + 30)?, self.u16(at + 32)?].map(u64::from);
        let next = at + 46 + name_len + extra_len + comment_len;
        if next > directory.1 {
            return Err(self.damaged(at, "a member's record reaches beyond the directory"));
        }
        let name = String::from_utf8_lossy(self.range(at + 46, name_len)?).into_owned();
        self.widen(&name, at + 46 + name_len, extra_len, &mut wide)?;
        let [size, packed, header] = wide;

        let refuse = |what: String| Err(self.damaged(at, format!("member `{name}`: {what}")));
        if flags & 1 != 0 {
            return refuse("it is encrypted".to_owned());
        }
        if method != STORED && method != DEFLATED {
            return refuse(format!("compression method {method} is none that numpy writes"));
        }
        // Deflate makes at most 1032 bytes of one.
        if (method == STORED && size != packed) || size / 1033 > packed {
            return refuse(format!("{packed} bytes cannot hold the {size} that it claims"));
        }
        if self.u32(header)? != LOCAL {
            return refuse(format!("no header where the directory says ({header})"));
        }
        let start = header + 30 + u64::from(self.u16(header + 26)?) + u64::from(self.u16(header + 28)?);
        match start.checked_add(packed) {
            Some(end) if end <= directory.0 => {}
            _ => return refuse(format!("its {packed} bytes reach into the directory")),
        }
        let data = self.slice(start, packed)?;
        Ok((Member { name, deflated: method == DEFLATED, crc, size, data }, next))
    }

    /// Takes from the extra field what 32 bits did not hold.
    fn widen(&self, name: &str, at: u64, len: u64, wide: &mut [u64; 3]) -> Result<(), Error> {
        let end = at + len;
        let mut at = at;
        while at + 4 <= end {
            let (tag, size) = (self.u16(at)?, u64::from(self.u16(at + 2)?));
            let field_end = end.min(at + 4 + size);
            at += 4;
            if tag == ZIP64 {
                for value in wide.iter_mut().filter(|value| **value == 0xffff_ffff) {
                    if at + 8 > field_end {
                        return Err(
                            self.damaged(at, format!("member `{name}`: its zip64 field is too short"))
                        );
                    }
                    *value = self.u64(at)?;
                    at += 8;
                }
            }
            at = field_end;
        }
        Ok(())
    }

    /// An archive whose members share bytes inflates to far more than it holds.
    fn check_overlaps(&self, members: &[Member]) -> Result<(), Error> {
        let mut ranges = members.iter().map(|member| (member.data.range(), &member.name)).collect::<Vec<_>>();
        ranges.sort_by_key(|(range, _)| (range.start, range.end));
        for pair in ranges.windows(2) {
            if pair[0].0.end > pair[1].0.start {
                let what = format!("members `{}` and `{}` share bytes", pair[0].1, pair[1].1);
                return Err(self.damaged(pair[1].0.start as u64, what));
            }
        }
        Ok(())
    }

    fn slice(&self, at: u64, len: u64) -> Result<Slice, Error> {
        let end = at.checked_add(len).filter(|&end| end <= self.storage.len() as u64);
        let Some(end) = end else { return Err(self.damaged(at, "the archive is cut off")) };
        Ok(self.storage.slice(at as usize..end as usize))
    }

    fn range(&self, at: u64, len: u64) -> Result<&[u8], Error> {
        let end = at.checked_add(len).filter(|&end| end <= self.storage.len() as u64);
        let Some(end) = end else { return Err(self.damaged(at, "the archive is cut off")) };
        Ok(&self.storage[at as usize..end as usize])
    }

    fn array<const N: usize>(&self, at: u64) -> Result<[u8; N], Error> {
        let bytes = self.range(at, N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    fn u16(&self, at: u64) -> Result<u16, Error> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Result<u32, Error> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Result<u64, Error> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Damaged { path: self.storage.path().to_path_buf(), what: what.into(), offset }
    }
}
