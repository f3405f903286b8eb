//! What is shown while the town works: bars on a terminal, a line for each change otherwise.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::story::{Line, Story};

/// From so many tasks on only those that somebody works on have a line of their own.
const LINES_MAX: usize = 24;

/// Shows a story as it goes on.
pub(crate) enum Progress {
    Bars(Bars),
    Plain,
    Quiet,
}

/// One bar for the whole, and a line for each bead.
pub(crate) struct Bars {
    multi: MultiProgress,
    whole: ProgressBar,
    lines: Vec<Option<ProgressBar>>,
}

impl Progress {
    pub(crate) fn new(quiet: bool, tasks: usize) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Plain;
        }
        let multi = MultiProgress::new();
        let whole = multi.add(ProgressBar::new(tasks as u64));
        whole.set_style(style("{bar:32.green} {pos}/{len} merged, {elapsed}  {msg}"));
        whole.enable_steady_tick(Duration::from_millis(250));
        Self::Bars(Bars { multi, whole, lines: vec![None; tasks] })
    }

    /// A sentence for the user.
    pub(crate) fn say(&self, sentence: &str) {
        match self {
            // Nobody reads what a terminal that is gone cannot show.
            Self::Bars(bars) => drop(bars.multi.println(sentence)),
            Self::Plain => eprintln!("{sentence}"),
            Self::Quiet => {}
        }
    }

    /// Shows the lines that changed.
    pub(crate) fn show(&mut self, story: &Story, changed: &[usize]) {
        match self {
            Self::Bars(bars) => bars.show(story, changed),
            Self::Plain => {
                for &at in changed {
                    let line = &story.lines[at];
                    let since = story.begun.map_or(0.0, |begun| story.now.since(begun).as_secs_f64());
                    let merged = story.lines.iter().filter(|line| Story::is_merged(line)).count();
                    let total = story.lines.len();
                    eprintln!("{since:8.2}s  {merged:>3}/{total}  {:<10} {}", line.id, describe(line));
                }
            }
            Self::Quiet => {}
        }
    }

    /// Stops the bars where they are.
    pub(crate) fn end(&mut self) {
        if let Self::Bars(bars) = self {
            for line in bars.lines.iter().flatten() {
                line.finish();
            }
            bars.whole.finish();
        }
    }
}

impl Bars {
    fn show(&mut self, story: &Story, changed: &[usize]) {
        let all = story.lines.len() <= LINES_MAX;
        if all && self.lines.iter().all(Option::is_none) {
            for at in 0..story.lines.len() {
                self.line(story, at);
            }
        }
        for &at in changed {
            self.line(story, at);
            let line = &story.lines[at];
            let rests = Story::is_merged(line) || line.state() == "open";
            if let Some(bar) = self.lines[at].as_ref().filter(|_| rests) {
                bar.disable_steady_tick();
                if !all {
                    bar.finish_and_clear();
                    self.multi.remove(bar);
                    self.lines[at] = None;
                }
            } else if let Some(bar) = &self.lines[at] {
                bar.enable_steady_tick(Duration::from_millis(120));
            }
        }
        let merged = story.lines.iter().filter(|line| Story::is_merged(line)).count();
        self.whole.set_position(merged as u64);
        self.whole.set_message(format!("convoy {}", story.convoy.state));
    }

    fn line(&mut self, story: &Story, at: usize) {
        let line = &story.lines[at];
        let bar = self.lines[at].get_or_insert_with(|| {
            let bar = self.multi.insert_before(&self.whole, ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix:10} {wide_msg}"));
            bar
        });
        bar.set_prefix(line.id.clone());
        bar.set_message(describe(line));
        bar.tick();
    }
}

fn describe(line: &Line) -> String {
    let step = line.way.last().map_or_else(String::new, ToString::to_string);
    let again = if line.agents.len() > 1 { format!(", attempt {}", line.agents.len()) } else { String::new() };
    format!("{:<28}  {step}{again}", line.title)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
