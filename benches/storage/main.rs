//! Staging in and out of an S3 server, in turns with s5cmd and rclone, which do the same with the same files.
//!
//! `cargo xtask bench storage` starts the server, builds the two and names them in the environment. Every run is a
//! process of its own, ours too, so that time and memory are its alone, and what it has carried is compared byte by
//! byte. Ratios are the median time of the faster one of the two over our median.
//!
//! - [`material`]: the files, and that they have arrived.
//! - [`contenders`]: s5cmd and rclone, with their defaults but for rclone's number of transfers.
//! - [`ours`]: `bring_in` and `deliver` in a child of this program.
//!
//! `cargo bench --bench storage [-- ROUNDS]`; lines for people, and one of JSON for `cargo xtask bench`.

mod contenders;
#[path = "../harness/mod.rs"]
mod harness;
mod material;
mod ours;
#[path = "../../runtime/tests/storage/proxy/mod.rs"]
mod proxy;
#[path = "../../runtime/tests/storage/rig.rs"]
mod rig;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use contenders::Contender;
use harness::figures::{Figures, median};
use material::{Material, Shape};
use ours::{Direction, Ours};
use proxy::Proxy;
use rig::Rig;

/// How often each of them does each thing.
const ROUNDS: usize = 3;
/// How many small inputs the requests are counted for.
const SMALL: usize = 100;

const SHAPES: [Shape; 3] = [
    Shape { name: "one_of_1_gib", files: 1, bytes: 1 << 30 },
    Shape { name: "100_of_10_mib", files: 100, bytes: 10 << 20 },
    Shape { name: "10000_of_10_kib", files: 10_000, bytes: 10 << 10 },
];
const LARGE: Shape = Shape { name: "one_of_4_gib", files: 1, bytes: 4 << 30 };

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [verb, plan, tree, links] = &words[..] {
        return ours::child(verb, Path::new(plan), Path::new(tree), Path::new(links));
    }
    let rounds = words.first().map_or(Ok(ROUNDS), |word| word.parse()).context("not a number of rounds")?;
    let rig = Rig::find().context("the measurement needs the storages: `cargo xtask bench storage` starts them")?;
    // On the same disk as the server's files, which no contender then has for itself.
    let scratch = tempfile::tempdir_in(rig.s3.folder.parent().context("a folder of the rig")?)?;
    let mut measuring = Measuring { rig, scratch: scratch.path(), rounds, figures: Figures::default() };
    for shape in &SHAPES {
        measuring.shape(shape)?;
    }
    measuring.memory()?;
    measuring.figures.print();
    Ok(())
}

struct Measuring<'a> {
    rig: Rig,
    scratch: &'a Path,
    rounds: usize,
    figures: Figures,
}

impl Measuring<'_> {
    /// Everything there is to know about one shape.
    fn shape(&mut self, shape: &'static Shape) -> Result<()> {
        let material = Material::make(shape, self.scratch)?;
        Contender::s5cmd()?.upload(&self.rig.s3, &material.folder, &shape.prefix())?;
        self.race(&material, Direction::In)?;
        self.race(&material, Direction::Out)?;
        if shape.files == 1 {
            self.repeated(&material)?;
        }
        if shape.files > SMALL {
            self.requests(&material)?;
            self.own_time(&material)?;
        }
        fs::remove_dir_all(self.rig.s3.folder.join(&self.rig.s3.bucket).join(shape.prefix()))?;
        Ok(fs::remove_dir_all(&material.folder)?)
    }

    /// In turns, so that what the machine does beside it befalls all alike.
    fn race(&mut self, material: &Material, direction: Direction) -> Result<()> {
        let others = [Contender::s5cmd()?, Contender::rclone()?];
        let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
        for _ in 0..self.rounds {
            let measured = self.ours(&self.rig.s3.endpoint).stage(material, direction)?;
            ours.push(measured.wall_s);
            for (contender, times) in others.iter().zip(&mut theirs) {
                times.push(contender.stage(&self.rig.s3, material, direction, self.scratch)?.as_secs_f64());
            }
        }
        let (name, megabytes) = (material.shape.name, material.shape.total_bytes() as f64 / 1e6);
        let ours = median(ours);
        self.figures.note(format!("{direction}_{name}_ours_mb_per_s"), megabytes / ours);
        let mut fastest = f64::INFINITY;
        for (contender, times) in others.iter().zip(theirs) {
            let theirs = median(times);
            fastest = fastest.min(theirs);
            self.figures.note(format!("{direction}_{name}_{}_mb_per_s", contender.name), megabytes / theirs);
        }
        self.figures.note(format!("{direction}_{name}_ratio"), fastest / ours);
        Ok(())
    }

    /// The same input again, while it lies in the node's cache.
    fn repeated(&mut self, material: &Material) -> Result<()> {
        let mut speedups = Vec::new();
        for _ in 0..self.rounds {
            let cache = tempfile::tempdir_in(self.scratch)?;
            let ours = Ours { cache: Some(cache.path()), ..self.ours(&self.rig.s3.endpoint) };
            let first = ours.stage(material, Direction::In)?;
            let second = ours.stage(material, Direction::In)?;
            speedups.push(first.wall_s / second.wall_s);
        }
        self.figures.note("repeated_input_speedup", median(speedups));
        Ok(())
    }

    /// Requests, counted on their way to the server.
    fn requests(&mut self, material: &Material) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let proxy = runtime.block_on(Proxy::before(&self.rig.s3.endpoint));
        self.ours(proxy.url()).stage_singly(material, SMALL)?;
        self.figures.note("requests_per_small_input", proxy.count("*", "") as f64 / SMALL as f64);
        proxy.forget();
        self.ours(proxy.url()).stage(material, Direction::In)?;
        let requests = proxy.count("*", "") as f64 / material.shape.files as f64;
        self.figures.note("requests_per_file_of_a_directory", requests);
        Ok(())
    }

    /// A directory of many files from this host's disk, where all the time is ours; from S3, the processor's time.
    fn own_time(&mut self, material: &Material) -> Result<()> {
        let (mut walls, mut processor) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let ours = self.ours(&self.rig.s3.endpoint);
            walls.push(ours.stage_from_disk(material)?.wall_s);
            processor.push(ours.stage(material, Direction::In)?.processor_s);
        }
        self.figures.note("directory_of_10000_own_s", median(walls));
        self.figures.note("directory_of_10000_from_s3_processor_s", median(processor));
        Ok(())
    }

    /// What it holds of memory at most, while something large passes.
    fn memory(&mut self) -> Result<()> {
        let material = Material::make(&LARGE, self.scratch)?;
        Contender::s5cmd()?.upload(&self.rig.s3, &material.folder, &LARGE.prefix())?;
        for direction in [Direction::In, Direction::Out] {
            let measured = self.ours(&self.rig.s3.endpoint).stage(&material, direction)?;
            self.figures.note(format!("peak_rss_mb_{direction}_4_gib"), measured.peak_rss_mb);
        }
        Ok(())
    }

    fn ours<'a>(&'a self, endpoint: &'a str) -> Ours<'a> {
        Ours { s3: &self.rig.s3, endpoint, scratch: self.scratch, cache: None }
    }
}
