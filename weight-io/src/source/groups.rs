//! Group convolution's weights in both layouts, while they are read.
//!
//! A weight array is rows of bytes; the rows of group `g` hold only what group `g` of the other channel
//! axis contributes. In the dense layout every row is `groups` times as wide and zero outside its own block.
//! Convolution (rows are outputs) and Deconvolution (rows are inputs) differ in nothing but the row's meaning.

use std::sync::Arc;

use caffe_proto::{Error, Payload, Sink, Source};

use super::{Element as _, Gather};

/// Grouped rows, each spread out to a dense row.
#[derive(Debug)]
pub(crate) struct Spread {
    rows: Rows,
    values: Payload,
}

/// Dense rows, each cut down to its own block.
#[derive(Debug)]
pub(crate) struct Blocks {
    rows: Rows,
    values: Payload,
}

/// What a dense array holds outside its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OffBlock {
    /// How many values are not zero.
    pub(crate) count: u64,
    /// The largest magnitude among them; NaN where one is not a number.
    pub(crate) largest: f32,
}

#[derive(Clone, Copy, Debug)]
struct Rows {
    count: u64,
    groups: u64,
    /// The bytes of one block: a grouped row.
    block: u64,
}

impl Spread {
    /// `values`: `rows` rows, `groups` dividing `rows`.
    pub(crate) fn payload(rows: usize, groups: usize, values: Payload) -> Payload {
        let block = values.len() / (rows as u64).max(1);
        Payload::Made(Arc::new(Self {
            rows: Rows { count: rows as u64, groups: groups as u64, block },
            values,
        }))
    }
}

impl Source for Spread {
    fn len(&self) -> u64 {
        self.values.len() * self.rows.groups
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let Rows { groups, block, .. } = self.rows;
        let mut gather = Gather::new(sink);
        let mut position = 0;
        self.values.read(&mut |mut bytes| {
            while !bytes.is_empty() {
                let (row, column) = (position / block, position % block);
                let group = self.rows.group(row);
                if column == 0 {
                    gather.push_zeros(group * block)?;
                }
                let (run, rest) = bytes.split_at(bytes.len().min((block - column) as usize));
                gather.push(run)?;
                position += run.len() as u64;
                if position.is_multiple_of(block) {
                    gather.push_zeros((groups - 1 - group) * block)?;
                }
                bytes = rest;
            }
            Ok(())
        })?;
        gather.flush()
    }
}

impl Blocks {
    /// `values`: `rows` dense rows, `groups` dividing `rows` and the row's width.
    pub(crate) fn payload(rows: usize, groups: usize, values: Payload) -> Payload {
        Payload::Made(Arc::new(Self { rows: Rows::dense(rows, groups, &values), values }))
    }

    /// Counts what [`Blocks::payload`] would leave out: `f32` values.
    pub(crate) fn off_block(rows: usize, groups: usize, values: &Payload) -> Result<OffBlock, Error> {
        let rows = Rows::dense(rows, groups, values);
        let mut found = OffBlock::default();
        rows.walk(values, |run, inside| {
            if !inside {
                for value in f32::decode(run).filter(|&value| value != 0.0) {
                    found.count += 1;
                    if value.is_nan() || value.abs() > found.largest {
                        found.largest = value.abs();
                    }
                }
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Source for Blocks {
    fn len(&self) -> u64 {
        self.values.len() / self.rows.groups
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut gather = Gather::new(sink);
        self.rows.walk(&self.values, |run, inside| if inside { gather.push(run) } else { Ok(()) })?;
        gather.flush()
    }
}

impl Rows {
    fn dense(rows: usize, groups: usize, values: &Payload) -> Self {
        let (count, groups) = (rows as u64, groups as u64);
        Self { count, groups, block: values.len() / (count * groups).max(1) }
    }

    fn group(self, row: u64) -> u64 {
        row / (self.count / self.groups).max(1)
    }

    /// Cuts dense rows at the block borders and says of each run whether it lies inside its row's own block.
    fn walk(
        self,
        values: &Payload,
        mut visit: impl FnMut(&[u8], bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut position = 0;
        values.read(&mut |mut bytes| {
            while !bytes.is_empty() {
                let block = position / self.block;
                let (row, column) = (block / self.groups, block % self.groups);
                let left = (block + 1) * self.block - position;
                let (run, rest) = bytes.split_at(bytes.len().min(left as usize));
                visit(run, self.group(row) == column)?;
                position += run.len() as u64;
                bytes = rest;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_groups_spread_to_a_block_diagonal() {
        let grouped = Payload::from_f32(&[1.0, 2.0, 3.0, 4.0]);
        let dense = Spread::payload(4, 2, grouped).to_f32().unwrap();
        assert_eq!(dense, [1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 4.0]);
    }

    #[test]
    fn what_is_outside_the_blocks_is_counted() {
        let dense = Payload::from_f32(&[1.0, -0.0, 2.0, -7.5, 0.5, 3.0, 0.0, 4.0]);
        let found = Blocks::off_block(4, 2, &dense).unwrap();
        assert_eq!(found, OffBlock { count: 2, largest: 7.5 });
        let nan = Payload::from_f32(&[1.0, f32::NAN, 5.0, 1.0]);
        let found = Blocks::off_block(2, 2, &nan).unwrap();
        assert_eq!(found.count, 2);
    }

    proptest! {
        #[test]
        fn spreading_and_cutting_give_the_same_values(groups in 1usize..5, outputs in 1usize..5, width in 1usize..20_000) {
            let rows = groups * outputs;
            let values = (1..=rows * width).map(|value| value as f32).collect::<Vec<_>>();
            let dense = Spread::payload(rows, groups, Payload::from_f32(&values));
            prop_assert_eq!(dense.len(), (values.len() * groups * 4) as u64);
            prop_assert_eq!(Blocks::off_block(rows, groups, &dense).unwrap(), OffBlock::default());
            prop_assert_eq!(Blocks::payload(rows, groups, dense).to_f32().unwrap(), values);
        }
    }
}
