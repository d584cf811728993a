//! `make instructions`: counts the instructions of the domain's part of a create, says what changed, and keeps the counts.

#![expect(clippy::print_stdout, reason = "counts are the answer to a command")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use kith_load::hot_path::{HotPath, Instructions, Piece, collected, of_one_round};
use kith_load::versions::compiler;

/// Rounds of the two runs of a piece.
const ROUNDS: [u64; 2] = [200, 1_200];

/// Counts instructions of the domain's part of a create.
#[derive(Debug, Parser)]
#[command(name = "kith-hot-path")]
struct Asked {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Do a piece so many times: what is counted.
    Run {
        /// The piece.
        piece: String,
        /// How many times.
        rounds: u64,
    },
    /// Count all pieces with valgrind, say what changed, and keep the counts.
    Count {
        /// Where they are kept.
        #[arg(long, default_value = "tests/load/instructions.json")]
        kept: PathBuf,
    },
}

fn main() -> Result<()> {
    match Asked::parse().what {
        What::Run { piece, rounds } => {
            let known = Piece::ALL.into_iter().find(|known| known.name() == piece);
            HotPath::new()?.run(known.with_context(|| format!("no piece {piece}"))?, rounds)
        }
        What::Count { kept } => count(&kept),
    }
}

fn count(path: &Path) -> Result<()> {
    let before: Instructions = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Instructions::default(),
        Err(error) => return Err(error.into()),
    };
    let mut now = Instructions {
        rustc: compiler().context("no rustc")?,
        ..Instructions::default()
    };
    for piece in Piece::ALL {
        let [few, many] = ROUNDS;
        let (one, other) = (instructions(piece, few)?, instructions(piece, many)?);
        let of_one = of_one_round((few, one), (many, other))?;
        now.pieces.insert(piece.name().to_owned(), of_one);
    }
    for line in now.against(&before) {
        println!("{line}");
    }
    Ok(std::fs::write(
        path,
        serde_json::to_string_pretty(&now)? + "\n",
    )?)
}

/// Instructions of a whole run.
fn instructions(piece: Piece, rounds: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", piece.name(), &rounds.to_string()])
        .output()
        .context("valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    collected(&said).with_context(|| format!("no count: {said}"))
}
