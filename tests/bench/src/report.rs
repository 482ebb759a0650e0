//! The table.

use std::{fmt, time::Duration};

/// The rounds of one contender at one number in flight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    cpu_us: Vec<f64>,
    per_second: Vec<f64>,
}

impl Cell {
    pub(crate) fn add(&mut self, events: u64, cpu: Duration, wall: Duration) {
        let events = events as f64;
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / events);
        self.per_second.push(events / wall.as_secs_f64());
    }
}

/// The middle of some figures, and the least and the greatest.
#[derive(Debug, Clone, Copy)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Self {
            min: sorted[0],
            median,
            max: sorted[sorted.len() - 1],
        }
    }

    const fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// All cells. [`fmt::Display`] is Markdown.
pub(crate) struct Report {
    names: Vec<&'static str>,
    rounds: usize,
    run: Duration,
    rows: Vec<(usize, Vec<Cell>)>,
}

impl Report {
    pub(crate) const fn new(names: Vec<&'static str>, rounds: usize, run: Duration) -> Self {
        Self {
            names,
            rounds,
            run,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, in_flight: usize, cells: Vec<Cell>) {
        self.rows.push((in_flight, cells));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, run, .. } = self;
        writeln!(
            f,
            "CPU µs an event, both ends together: median (least–greatest) of {rounds} alternated rounds of {run:?}.\n"
        )?;
        writeln!(
            f,
            "| in flight | contender | CPU µs an event | events/s | against the link |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for (in_flight, cells) in &self.rows {
            let link = Spread::of(&cells[0].cpu_us);
            for (name, cell) in self.names.iter().zip(cells) {
                let cpu = Spread::of(&cell.cpu_us);
                let rate = Spread::of(&cell.per_second);
                let Spread { min, median, max } = cpu;
                write!(
                    f,
                    "| {in_flight} | {name} | {median:.2} ({min:.2}–{max:.2}) "
                )?;
                write!(f, "| {:.0} ", rate.median)?;
                if *name == self.names[0] {
                    writeln!(f, "| |")?;
                } else if cpu.overlaps(link) {
                    writeln!(f, "| no difference beyond the spread |")?;
                } else {
                    writeln!(f, "| {:.2} times |", median / link.median)?;
                }
            }
        }
        writeln!(f)?;
        for goal in GOALS {
            goal.judge(self, f)?;
        }
        Ok(())
    }
}

/// What is to be reached against POST.
struct Goal {
    in_flight: usize,
    /// The link's cost is at most so many times that of POST.
    at_most: f64,
    words: &'static str,
}

const GOALS: [Goal; 2] = [
    Goal {
        in_flight: 64,
        at_most: 1.0 / 8.0,
        words: "at 64 in flight at least 8 times cheaper than POST",
    },
    Goal {
        in_flight: 1,
        at_most: 1.15,
        words: "at 1 in flight at most 1.15 times POST",
    },
];

impl Goal {
    fn judge(&self, report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = report.rows.iter().find(|(it, _)| *it == self.in_flight);
        let Some((_, [link, post, ..])) = row.map(|(it, cells)| (it, cells.as_slice())) else {
            return Ok(());
        };
        let ratio = Spread::of(&link.cpu_us).median / Spread::of(&post.cpu_us).median;
        let verdict = if ratio <= self.at_most {
            "reached"
        } else {
            "MISSED"
        };
        let words = self.words;
        writeln!(
            f,
            "- {verdict}: {words}: {ratio:.3} times POST (1/{:.1})",
            1.0 / ratio
        )
    }
}
