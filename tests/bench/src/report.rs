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
    /// What is counted: `event`, `message`.
    pub(crate) unit: &'static str,
    /// What a row's label says.
    pub(crate) label: &'static str,
    pub(crate) rounds: usize,
    pub(crate) run: Duration,
    pub(crate) goals: Vec<Goal>,
    rows: Vec<Row>,
}

/// The contenders at one work; the first is the one that the others are held against.
struct Row {
    label: String,
    cells: Vec<(&'static str, Cell)>,
}

impl Report {
    pub(crate) const fn new(
        unit: &'static str,
        label: &'static str,
        rounds: usize,
        run: Duration,
        goals: Vec<Goal>,
    ) -> Self {
        Self {
            unit,
            label,
            rounds,
            run,
            goals,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, label: String, cells: Vec<(&'static str, Cell)>) {
        self.rows.push(Row { label, cells });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            unit,
            label,
            rounds,
            run,
            ..
        } = self;
        writeln!(
            f,
            "CPU µs per {unit}, both ends together: median (least–greatest) of {rounds} alternated rounds of {run:?}.\n"
        )?;
        writeln!(
            f,
            "| {label} | contender | CPU µs per {unit} | {unit}s/s | against the first |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.rows {
            row.fmt(f)?;
        }
        writeln!(f)?;
        for goal in &self.goals {
            goal.judge(self, f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, cells } = self;
        let first = Spread::of(&cells[0].1.cpu_us);
        for (place, (name, cell)) in cells.iter().enumerate() {
            let cpu = Spread::of(&cell.cpu_us);
            let rate = Spread::of(&cell.per_second);
            let Spread { min, median, max } = cpu;
            write!(
                f,
                "| {label} | {name} | {median:.2} ({min:.2}–{max:.2}) | {:.0} ",
                rate.median
            )?;
            if place == 0 {
                writeln!(f, "| |")?;
            } else if cpu.overlaps(first) {
                let ratio = median / first.median;
                writeln!(f, "| {ratio:.2} times, no difference beyond the spread |")?;
            } else {
                writeln!(f, "| {:.2} times |", median / first.median)?;
            }
        }
        Ok(())
    }
}

/// What is to be reached: the first of a row costs at most so many times what another costs.
pub(crate) struct Goal {
    pub(crate) label: &'static str,
    pub(crate) against: &'static str,
    pub(crate) at_most: f64,
    pub(crate) words: &'static str,
}

impl Goal {
    fn judge(&self, report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(row) = report.rows.iter().find(|row| row.label == self.label) else {
            return Ok(());
        };
        let other = row.cells.iter().find(|(name, _)| *name == self.against);
        let (Some((_, ours)), Some((_, other))) = (row.cells.first(), other) else {
            return Ok(());
        };
        let ratio = Spread::of(&ours.cpu_us).median / Spread::of(&other.cpu_us).median;
        let verdict = if ratio <= self.at_most {
            "reached"
        } else {
            "MISSED"
        };
        let Self { words, against, .. } = self;
        writeln!(
            f,
            "- {verdict}: {words}: {ratio:.3} times {against} (1/{:.1})",
            1.0 / ratio
        )
    }
}
