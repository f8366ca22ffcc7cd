//! Writing values in deflated chunks, a band at a time.

use std::io::{self, Write};
use std::ops::Range;

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::Payload;

use super::super::error::{Error, Problem};
use super::super::grid::{Grid, MAX_BAND_BYTES};
use super::btree::Tree;
use super::{Out, UNDEFINED, refused, unread, wrong_length};

/// The shape of the chunks that h5py chooses for an array of this shape, of values of `element` bytes.
///
/// The rule is that of `guess_chunk` in h5py: from a size of 16 KiB for 1 MiB of data, twice that for each
/// tenfold of data, but at least 8 KiB, the axes are halved in turn until a chunk is smaller than it or within
/// half of it, and below 1 MiB. An axis of size 0 counts as one of 1024.
pub fn chunk_shape(shape: &[u64], element: usize) -> Vec<u64> {
    const BASE: f64 = 16.0 * 1024.0;
    const MIN: f64 = 8.0 * 1024.0;
    const MAX: f64 = 1024.0 * 1024.0;
    let mut chunk: Vec<f64> =
        shape.iter().map(|&size| if size == 0 { 1024.0 } else { size as f64 }).collect();
    let bytes = |chunk: &[f64]| chunk.iter().product::<f64>() * element as f64;
    let target = (BASE * (bytes(&chunk) / MAX).log10().exp2()).clamp(MIN, MAX);
    for axis in (0..chunk.len()).cycle() {
        let now = bytes(&chunk);
        let near = now < target || (now - target).abs() / target < 0.5;
        if near && now < MAX || chunk.iter().all(|&size| size <= 1.0) {
            break;
        }
        chunk[axis] = (chunk[axis] / 2.0).ceil();
    }
    chunk.into_iter().map(|size| size as u64).collect()
}

/// Cuts an array into chunks of h5py's shape, or of less where a band of those would take too much memory.
pub(super) fn grid(shape: &[u64], element: usize) -> Result<Grid, Problem> {
    let mut chunk = chunk_shape(shape, element);
    loop {
        let axis = chunk.iter().position(|&size| size > 1);
        match (Grid::new(shape, &chunk, element), axis) {
            (Err(Problem::Limit { limit: MAX_BAND_BYTES, .. }), Some(axis)) => {
                chunk[axis] = chunk[axis].div_ceil(2);
            }
            (grid, _) => return grid,
        }
    }
}

/// Writes the values and the B-tree over their chunks, whose address it returns.
pub(super) fn write<W: Write>(
    out: &mut Out<W>,
    path: &[&str],
    grid: &Grid,
    element: usize,
    values: &Payload,
) -> Result<u64, Error> {
    let mut bands = Bands {
        grid,
        element,
        next: 0,
        taken: 0,
        band: Vec::new(),
        workers: workers(grid, element),
        addresses: Vec::new(),
        sizes: Vec::new(),
    };
    values.read(&mut |piece| Ok(bands.push(out, piece)?)).map_err(|error| unread(path, error))?;
    if bands.taken != values.len() {
        return Err(refused(path, wrong_length(bands.taken, values.len())));
    }
    if bands.addresses.is_empty() {
        return Ok(UNDEFINED);
    }

    let rank = grid.dims().len();
    let key = |number: usize| {
        // After the last chunk comes a key that is one chunk further along every axis, that of the bytes of a
        // value, too.
        let past = number == bands.sizes.len();
        let size = if past { 0 } else { bands.sizes[number] };
        let coordinates = grid.coordinates(number as u64 - u64::from(past));
        let mut key = Vec::with_capacity(8 * (rank + 2));
        key.extend(u64::from(size).to_le_bytes());
        for (coordinate, chunk) in coordinates.iter().zip(grid.chunk()) {
            key.extend(((coordinate + u64::from(past)) * chunk).to_le_bytes());
        }
        key.extend(if past { element as u64 } else { 0 }.to_le_bytes());
        key
    };
    let tree = Tree { node_type: 1, capacity: 2 * CHUNK_K, key_len: 8 * (rank + 2), key: &key };
    Ok(tree.write(out, &bands.addresses)?)
}

/// Half the children of a node, libhdf5's default, which a version 0 superblock cannot change.
const CHUNK_K: usize = 32;
/// More threads than this find too little to do in one band.
const MAX_WORKERS: usize = 16;

/// Takes values as they come, and writes the chunks of each band that is full.
struct Bands<'a> {
    grid: &'a Grid,
    element: usize,
    /// The band that is filled.
    next: u64,
    /// The bytes that came, even if there are no more bands to fill.
    taken: u64,
    band: Vec<u8>,
    workers: Vec<Worker>,
    addresses: Vec<u64>,
    sizes: Vec<u32>,
}

/// Deflates some of the chunks of a band, one thread each.
struct Worker {
    chunk: Vec<u8>,
    state: Compress,
    /// The deflated chunks of the present band, one after another, and the bytes of each.
    deflated: Vec<u8>,
    sizes: Vec<u32>,
}

impl Bands<'_> {
    fn push<W: Write>(&mut self, out: &mut Out<W>, mut piece: &[u8]) -> Result<(), Error> {
        self.taken += piece.len() as u64;
        while !piece.is_empty() && self.next < self.grid.bands() {
            let full = self.grid.band_values(self.next) * self.element;
            let (now, later) = piece.split_at(piece.len().min(full - self.band.len()));
            self.band.extend_from_slice(now);
            piece = later;
            if self.band.len() == full {
                self.write_band(out)?;
                self.next += 1;
                self.band.clear();
            }
        }
        Ok(())
    }

    /// Deflates the chunks of a full band side by side and writes them in their order.
    fn write_band<W: Write>(&mut self, out: &mut Out<W>) -> io::Result<()> {
        let (grid, element, band) = (self.grid, self.element, self.band.as_slice());
        let chunks = grid.band_chunks(self.next);
        let share = (chunks.end - chunks.start).div_ceil(self.workers.len() as u64);
        let shares =
            (chunks.start..).step_by(share as usize).map(|start| start..chunks.end.min(start + share));
        let work = |worker: &mut Worker, share| worker.deflate(grid, element, band, share);
        if let [worker] = &mut self.workers[..] {
            work(worker, chunks.clone())?;
        } else {
            std::thread::scope(|scope| {
                let workers = self.workers.iter_mut().zip(shares);
                let threads: Vec<_> =
                    workers.map(|(worker, share)| scope.spawn(move || work(worker, share))).collect();
                threads.into_iter().try_for_each(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(io::Error::other("a thread that deflates has panicked")))
                })
            })?;
        }
        for worker in &self.workers {
            let mut address = out.position;
            for &size in &worker.sizes {
                self.addresses.push(address);
                self.sizes.push(size);
                address += u64::from(size);
            }
            out.write(&worker.deflated)?;
        }
        Ok(())
    }
}

impl Worker {
    fn deflate(&mut self, grid: &Grid, element: usize, band: &[u8], numbers: Range<u64>) -> io::Result<()> {
        self.deflated.clear();
        self.sizes.clear();
        for number in numbers {
            if grid.is_partial(number) {
                self.chunk.fill(0);
            }
            grid.runs(number, |run| {
                let from = run.in_band * element;
                let to = run.in_chunk * element;
                let len = run.values * element;
                self.chunk[to..to + len].copy_from_slice(&band[from..from + len]);
            });
            let start = self.deflated.len();
            deflate(&mut self.state, &self.chunk, &mut self.deflated)?;
            self.sizes.push((self.deflated.len() - start) as u32);
        }
        Ok(())
    }
}

/// As many as there are cores, but not more than a band has chunks.
fn workers(grid: &Grid, element: usize) -> Vec<Worker> {
    let chunks = grid.band_chunks(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    let count = cores.min((chunks.end - chunks.start) as usize).max(1);
    let worker = || Worker {
        chunk: vec![0; grid.chunk_values() * element],
        state: Compress::new(Compression::new(4), true),
        deflated: Vec::new(),
        sizes: Vec::new(),
    };
    std::iter::repeat_with(worker).take(count).collect()
}

/// Adds the deflated `input` to `out`.
fn deflate(state: &mut Compress, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    state.reset();
    loop {
        let taken = state.total_in() as usize;
        // What cannot be made smaller grows by a few bytes for each 16 KiB.
        let left = input.len() - taken;
        out.reserve(left + left / 1000 + 64);
        match state.compress_vec(&input[taken..], out, FlushCompress::Finish).map_err(io::Error::other)? {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError => {}
        }
    }
}
