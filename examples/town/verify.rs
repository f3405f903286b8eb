//! The checks: what the repository, the town and the journal say about the run, each asked by itself.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::git::{GitCommand, GitRunner};
use gastown_core::{AgentFilter, Result, Town};
use serde::Serialize;

use crate::origin::Origin;
use crate::place::Plan;
use crate::story::Story;
use crate::tasks::{Part, Planned};

/// One thing that must hold.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What must hold.
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    /// What was found.
    pub(crate) found: String,
}

impl Check {
    /// It holds where there are no complaints; `facts` says what was looked at.
    fn new(name: &'static str, complaints: &[String], facts: String) -> Self {
        let shown = complaints.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        let more = complaints.len().saturating_sub(5);
        let found = match (complaints.is_empty(), more) {
            (true, _) => facts,
            (false, 0) => shown,
            (false, _) => format!("{shown}; and {more} more"),
        };
        Self { name, ok: complaints.is_empty(), found }
    }
}

/// What was found, and what the target branch holds now.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) checks: Vec<Check>,
    pub(crate) tip: String,
    pub(crate) tree: String,
}

/// Looks at everything; an error is only what keeps it from looking.
pub(crate) async fn verify(
    git: &GitRunner,
    origin: &Origin,
    plan: &Plan,
    tasks: &[Planned],
    story: &Story,
    town: &Town,
) -> Result<Findings> {
    let history = History::read(git, origin, &plan.branch).await?;
    let bundled = plan.command.is_none();
    let mut checks = vec![
        convoy_is_home(plan, story, &history),
        every_commit_is_in(story, &history),
        each_exactly_once(story, &history, bundled),
        in_order(tasks, story, &history),
    ];
    if bundled {
        checks.push(trouble_by_design(tasks, story));
    }
    checks.push(journal_replays(town).await);
    checks.push(nothing_is_left(git, origin, plan, story, town).await?);
    Ok(Findings { checks, tip: history.tip, tree: history.tree })
}

/// The commits of the run, children behind their parents.
struct History {
    tip: String,
    tree: String,
    commits: BTreeMap<String, Commit>,
    /// The commits of the target that were merged into it one after another, from the first to the last.
    merges: Vec<String>,
}

struct Commit {
    parents: Vec<String>,
    /// The beads it says it is for.
    beads: Vec<String>,
}

impl History {
    async fn read(git: &GitRunner, origin: &Origin, branch: &str) -> Result<Self> {
        let command = |name| GitCommand::new(name).git_dir(&origin.path);
        let parse = command("rev-parse").args(["--verify", &format!("refs/heads/{branch}^{{commit}}")]);
        let tip = git.run(parse).await?.text().trim().to_owned();
        let parse = command("rev-parse").args(["--verify", &format!("{tip}^{{tree}}")]);
        let tree = git.run(parse).await?.text().trim().to_owned();
        let range = format!("{}..{tip}", origin.start);
        let format = "--format=%H%x09%P%x09%(trailers:key=Bead,valueonly,separator=%x20)";
        let log = git.run(command("log").args([format, range.as_str(), "--"])).await?.text();
        let mut commits = BTreeMap::new();
        for line in log.lines() {
            let mut fields = line.split('\t').map(|field| field.split_whitespace().map(str::to_owned).collect());
            let oid: Vec<String> = fields.next().unwrap_or_default();
            let (parents, beads) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            commits.insert(oid.concat(), Commit { parents, beads });
        }
        // The convoy's branch came in as the second parent of the landing; its own first parents are the queue's way.
        let mut merges = Vec::new();
        let mut at = commits.get(&tip).and_then(|landing: &Commit| landing.parents.get(1)).cloned();
        while let Some((oid, commit)) = at.as_ref().and_then(|oid| commits.get_key_value(oid)) {
            merges.push(oid.clone());
            at = commit.parents.first().cloned();
        }
        merges.reverse();
        Ok(Self { tip, tree, commits, merges })
    }

    /// Whether the second is the first or comes after it.
    fn leads_to(&self, ancestor: &str, descendant: &str) -> bool {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![descendant]);
        while let Some(oid) = waiting.pop() {
            if oid == ancestor {
                return true;
            }
            if seen.insert(oid) {
                waiting.extend(self.commits.get(oid).into_iter().flat_map(|c| c.parents.iter().map(String::as_str)));
            }
        }
        false
    }

    /// Which of the queue's merges brought this commit in.
    fn merges_of<'a>(&'a self, head: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.merges.iter().enumerate().filter_map(move |(at, oid)| {
            let parents = &self.commits.get(oid)?.parents;
            (parents.len() == 2 && parents[1] == head).then_some((at, oid.as_str()))
        })
    }
}

fn convoy_is_home(plan: &Plan, story: &Story, history: &History) -> Check {
    let mut complaints = Vec::new();
    if story.convoy.state != "landed" {
        complaints.push(format!("the convoy is {}", story.convoy.state));
    }
    if story.convoy.landed.as_deref() != Some(&history.tip) {
        complaints.push(format!("{} is at {} and not where the convoy landed", plan.branch, short(&history.tip)));
    }
    if story.lines.len() != plan.tasks {
        complaints.push(format!("{} tasks became {} beads", plan.tasks, story.lines.len()));
    }
    for line in story.lines.iter().filter(|line| line.state() != "closed/landed") {
        complaints.push(format!("{} is {}", line.id, line.state()));
    }
    let facts = format!("beads landed on {1} as {2}: {0}", story.lines.len(), plan.branch, short(&history.tip));
    Check::new("the convoy is home", &complaints, facts)
}

fn every_commit_is_in(story: &Story, history: &History) -> Check {
    let mut complaints = Vec::new();
    for line in &story.lines {
        match story.merged_review(line) {
            None => complaints.push(format!("{} has not exactly one merged change", line.id)),
            Some(review) if !history.commits.contains_key(&review.head) => {
                complaints.push(format!("{} of {} is not in the target", short(&review.head), line.id));
            }
            Some(_) => {}
        }
    }
    let facts = format!("ancestors of it: {}", story.lines.len());
    Check::new("every task's commit is in the target", &complaints, facts)
}

fn each_exactly_once(story: &Story, history: &History, bundled: bool) -> Check {
    let mut complaints = Vec::new();
    for line in &story.lines {
        let Some(review) = story.merged_review(line) else { continue };
        let merges: Vec<&str> = history.merges_of(&review.head).map(|(_, oid)| oid).collect();
        if merges.len() != 1 || review.landed.as_deref() != Some(merges[0]) {
            complaints.push(format!("{} was merged {} times", line.id, merges.len()));
        }
        let written = history.commits.values().filter(|commit| commit.beads.contains(&line.id)).count();
        if bundled && written != 1 {
            complaints.push(format!("{written} commits are for {}", line.id));
        }
    }
    if history.merges.len() != story.lines.len() {
        complaints.push(format!("{} merges for {} tasks", history.merges.len(), story.lines.len()));
    }
    Check::new(
        "each exactly once",
        &complaints,
        format!("merges: {}, commits: {}", history.merges.len(), history.commits.len()),
    )
}

fn in_order(tasks: &[Planned], story: &Story, history: &History) -> Check {
    let mut complaints = Vec::new();
    let mut edges = 0;
    let merge = |at: usize| {
        let review = story.merged_review(story.lines.get(at)?)?;
        let (place, oid) = history.merges_of(&review.head).next()?;
        Some((place, oid, review.head.as_str()))
    };
    for (at, task) in tasks.iter().enumerate() {
        for &before in &task.waits_for {
            edges += 1;
            let names = || format!("{:?} before {:?}", tasks[before].title, task.title);
            match (merge(before), merge(at)) {
                (Some((first, oid, _)), Some((second, _, head))) => {
                    if first >= second {
                        complaints.push(format!("not merged {}", names()));
                    } else if !history.leads_to(oid, head) {
                        complaints.push(format!("not seen {}", names()));
                    }
                }
                _ => complaints.push(format!("not merged at all: {}", names())),
            }
        }
    }
    Check::new("in the order of the dependencies", &complaints, format!("dependencies: {edges}"))
}

fn trouble_by_design(tasks: &[Planned], story: &Story) -> Check {
    let mut complaints = Vec::new();
    let (mut failed, mut conflicted) = (0, 0);
    for (task, line) in tasks.iter().zip(&story.lines) {
        let (failures, conflicts) = (line.failures, story.conflicts(line));
        failed += failures;
        conflicted += conflicts;
        let wanted = (u64::from(task.part == Part::FailsOnce), usize::from(task.part == Part::ConflictsOnce));
        if (failures, conflicts) != wanted {
            complaints.push(format!("{} failed {failures} times and conflicted {conflicts} times", line.id));
        }
    }
    Check::new("trouble by design and no other", &complaints, format!("failures: {failed}, conflicts: {conflicted}"))
}

async fn journal_replays(town: &Town) -> Check {
    let name = "the journal replays to the same state";
    match town.replay().await {
        Ok(replay) => {
            Check::new(name, &replay.differences, format!("events: {}, rows: {}", replay.events, replay.rows))
        }
        Err(error) => Check::new(name, &[error.chain()], String::new()),
    }
}

async fn nothing_is_left(git: &GitRunner, origin: &Origin, plan: &Plan, story: &Story, town: &Town) -> Result<Check> {
    let mut complaints = story.given_up.clone();
    complaints.extend(story.outstanding.iter().map(|id| format!("{id} is not settled")));
    let agents = town.operator().agents().list(AgentFilter::default()).await?.agents;
    complaints.extend(agents.iter().filter_map(|agent| Some(format!("{} holds {}", agent.name, agent.hook.as_ref()?))));
    if agents.len() != plan.agents {
        complaints.push(format!("there are {} agents and not {}", agents.len(), plan.agents));
    }
    let command =
        GitCommand::new("for-each-ref").git_dir(&origin.path).args(["--format=%(refname:short)", "refs/heads"]);
    let branches = git.run(command).await?.text();
    complaints
        .extend(branches.lines().filter(|name| *name != plan.branch).map(|name| format!("{name} is still there")));
    Ok(Check::new("nothing is left to do", &complaints, format!("idle agents: {}, branches: 1", agents.len())))
}

/// The beginning of an object's name.
pub(crate) fn short(oid: &str) -> &str {
    oid.get(..10).unwrap_or(oid)
}
