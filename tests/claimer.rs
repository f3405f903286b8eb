//! Whoever claims beads and closes them; now and then gives one back, goes away from one, or is too slow.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gastown_core::model::{BeadId, BeadStatus};
use gastown_core::{BeadFilter, Claim, CloseBead, Error, Heartbeat, ReleaseBead, Result, Town};

/// How long a claimer pauses where everything is somebody's.
const PAUSE: Duration = Duration::from_millis(20);

/// What a claimer was answered: its line is what it says to whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub by: String,
    /// What.
    pub word: Word,
    /// Which bead.
    pub bead: String,
    /// By which epoch.
    pub epoch: i64,
    /// Until when it holds the bead, in microseconds; 0 where it does not.
    pub lease_until: i64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// It has the bead.
    Claimed,
    /// It holds it longer.
    Renewed,
    /// It gave it back.
    Released,
    /// It closed it.
    Closed,
    /// It was refused, because somebody else has it since.
    Late,
    /// It went away and will do nothing more about it.
    Left,
}

impl Word {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Claimed, "claimed"),
        (Self::Renewed, "renewed"),
        (Self::Released, "released"),
        (Self::Closed, "closed"),
        (Self::Late, "late"),
        (Self::Left, "left"),
    ];
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Word::ALL.iter().find(|(word, _)| *word == self.word).map_or("", |(_, name)| name);
        write!(f, "{} {word} {} {} {}", self.by, self.bead, self.epoch, self.lease_until)
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(line: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{line:?} is no answer");
        let [by, word, bead, epoch, lease_until] = *line.split(' ').collect::<Vec<_>>() else { return Err(wrong()) };
        let (word, _) = *Word::ALL.iter().find(|(_, name)| *name == word).ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self {
            by: by.to_owned(),
            word,
            bead: bead.to_owned(),
            epoch: number(epoch)?,
            lease_until: number(lease_until)?,
        })
    }
}

/// The next number below `bound`; a seed says all of them.
fn draw(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

/// Claims, each time for so long, until every bead is closed; says what it was answered.
///
/// # Errors
/// Whatever a claimer need not expect: it may only be too late.
pub async fn drain(town: &Town, by: &str, lease_ms: u64, mut seed: u64, mut say: impl FnMut(Answer)) -> Result<()> {
    let beads = town.operator().beads();
    loop {
        let bead = match beads.claim(Claim::next(by).for_ms(lease_ms)).await {
            Ok(bead) => bead,
            Err(error) if error.code() == "nothing_ready" => {
                // What is in progress is somebody's whose lease may run out.
                let statuses = vec![BeadStatus::Open, BeadStatus::InProgress];
                let left = BeadFilter { statuses, limit: Some(1), ..BeadFilter::default() };
                if beads.list(left).await?.beads.is_empty() {
                    return Ok(());
                }
                // A lease that runs out makes no entry that could be waited for.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let (id, epoch) = (bead.id.clone(), bead.epoch);
        let mut tell = |word, lease_until| {
            say(Answer { by: by.to_owned(), word, bead: id.to_string(), epoch, lease_until });
        };
        tell(Word::Claimed, bead.lease_until.map_or(0, gastown_core::model::Timestamp::as_micros));
        let done = match draw(&mut seed, 8) {
            0 => {
                tell(Word::Left, 0);
                continue;
            }
            1 => release(town, &bead.id, by, epoch).await.map(|()| Word::Released),
            n @ 2..=4 => {
                let mut lost = None;
                for _ in 0..n - 1 {
                    let renewal = Heartbeat { lease_ms: Some(lease_ms), ..Heartbeat::of(&bead) };
                    match beads.heartbeat(renewal).await {
                        Ok(lease) => tell(Word::Renewed, lease.lease_until.as_micros()),
                        Err(error) => {
                            lost = Some(error);
                            break;
                        }
                    }
                }
                match lost {
                    Some(error) => Err(error),
                    None => close(town, &bead.id, by, epoch).await.map(|()| Word::Closed),
                }
            }
            _ => {
                // A glance elsewhere, in which a short lease ends.
                beads.list(BeadFilter { limit: Some(50), ..BeadFilter::default() }).await?;
                close(town, &bead.id, by, epoch).await.map(|()| Word::Closed)
            }
        };
        match done {
            Ok(word) => tell(word, 0),
            Err(error) if is_late(&error) => tell(Word::Late, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Somebody else has claimed the bead since.
fn is_late(error: &Error) -> bool {
    error.code() == "epoch_stale"
}

async fn release(town: &Town, id: &BeadId, by: &str, epoch: i64) -> Result<()> {
    let release = ReleaseBead { by: Some(by.to_owned()), expected_epoch: Some(epoch), ..id.into() };
    town.operator().beads().release(release).await.map(drop)
}

/// Closes with its name as the reason, so that the journal says whose work it was.
async fn close(town: &Town, id: &BeadId, by: &str, epoch: i64) -> Result<()> {
    let close = CloseBead { reason: Some(by.to_owned()), expected_epoch: Some(epoch), ..id.into() };
    town.operator().beads().close(close).await.map(drop)
}
