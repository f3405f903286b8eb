//! One connection to the server: its own small runtime, so that blocking code may use it on any plain thread.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, Socket, Statement};

use super::changes::Ears;
use super::error::{LOST, of_connecting, of_postgres};
use super::sql;
use super::text::Parameter;
use super::tls;
use super::url::Place;
use crate::model::{Error, Result};

/// The statements that are kept prepared; where there are more, all are let go.
const STATEMENTS_MAX: usize = 512;

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A statement and its parameters.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) sql: Cow<'static, str>,
    pub(super) parameters: Vec<Parameter>,
}

impl Step {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>, parameters: Vec<Parameter>) -> Self {
        Self { sql: sql.into(), parameters }
    }

    /// A statement without parameters.
    pub(super) fn plain(sql: &'static str) -> Self {
        Self::new(sql, Vec::new())
    }

    /// About how many bytes it sends.
    pub(super) fn weight(&self) -> usize {
        self.sql.len() + self.parameters.iter().map(Parameter::weight).sum::<usize>()
    }
}

/// What a failed exchange leaves: which of its steps failed, and how.
pub(super) struct Broken {
    pub(super) step: usize,
    pub(super) error: Error,
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        broken.error
    }
}

/// A session, by what no other has or had: the server gives its number a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) pid: i64,
    /// When it began, in microseconds.
    pub(super) since: i64,
}

/// An open connection.
pub(super) struct Line {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    client: Option<Client>,
    driver: JoinHandle<()>,
    statements: RefCell<HashMap<Cow<'static, str>, Statement>>,
    answer_timeout: Duration,
    is_lost: Cell<bool>,
    /// End whatever is waited for, where there are any.
    ears: Option<Arc<Ears>>,
    /// Who this is, once it was asked for.
    session: Cell<Option<Session>>,
    /// The name of this connection, once it was asked for, and how many of its transactions were marked.
    writer: RefCell<(String, i64)>,
    /// The server's version, as it says it.
    pub(super) version: String,
    /// The encoding of its texts.
    pub(super) encoding: String,
}

impl Line {
    /// Connects. `ears` hear of each notification, and of the connection's end; when they are over, so is every wait.
    pub(super) fn open(place: &Place, ears: Option<Arc<Ears>>) -> Result<Self> {
        refuse_async()?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(|source| {
                Error::unavailable("store_io", "a connection got no files of the system").because(source)
            })?;
        let timeout = place.connect_timeout();
        let opened = runtime.block_on(async {
            let connecting = async {
                match place.trust {
                    None => connect(&place.config, NoTls, ears.clone()).await,
                    Some(trust) => connect(&place.config, tls::connector(trust, &place.roots)?, ears.clone()).await,
                }
            };
            tokio::select! {
                opened = tokio::time::timeout(timeout, connecting) => opened.unwrap_or_else(|_| {
                    Err(Error::unavailable("store_unreachable", "the database let nobody in in time")
                        .with("timeout_ms", timeout.as_millis()))
                }),
                () = over(ears.as_deref()) => Err(given_up()),
            }
        });
        match opened {
            Ok(Opened { client, driver, version, encoding }) => Ok(Self {
                runtime: Some(runtime),
                client: Some(client),
                driver,
                statements: RefCell::new(HashMap::new()),
                answer_timeout: place.answer_timeout,
                is_lost: Cell::new(false),
                ears,
                session: Cell::new(None),
                writer: RefCell::default(),
                version,
                encoding,
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error.with("store", place))
            }
        }
    }

    /// Whether nothing can be asked any more.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get() || self.client().is_closed()
    }

    /// Gives it up: whatever state it is in, nobody uses it again.
    pub(super) fn give_up(&self) {
        self.is_lost.set(true);
    }

    /// Who this is to the server.
    pub(super) fn session(&self) -> Result<Session> {
        if let Some(known) = self.session.get() {
            return Ok(known);
        }
        let unknown = || Error::internal("store_postgres", "a session has no number");
        let rows = self.ask(Step::plain(sql::SESSION))?;
        let row = rows.first().ok_or_else(unknown)?;
        let number = |n| row.try_get::<_, i64>(n).map_err(|source| unknown().because(source));
        let session = Session { pid: number(0)?, since: number(1)? };
        self.session.set(Some(session));
        Ok(session)
    }

    /// The name of this connection, which no other has or had, and the number of its next transaction.
    pub(super) fn next_transaction(&self) -> Result<(String, i64)> {
        let mut writer = self.writer.borrow_mut();
        if writer.0.is_empty() {
            let rows = self.ask(Step::plain("SELECT gen_random_uuid()::text"))?;
            writer.0 = rows
                .first()
                .ok_or_else(|| Error::internal("store_postgres", "the server gave no name"))?
                .try_get(0)
                .map_err(|source| Error::internal("store_postgres", "the server gave no name").because(source))?;
        }
        writer.1 += 1;
        Ok(writer.clone())
    }

    /// Runs statements that take no parameters, with the simple protocol.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        self.block(self.client().batch_execute(sql))
    }

    /// Asks one thing.
    pub(super) fn ask(&self, step: Step) -> Result<Vec<Row>> {
        let mut answers = self.exchange(&[step])?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Asks one thing that may take as long as it takes.
    pub(super) fn ask_long(&self, step: &Step) -> Result<Vec<Row>> {
        let at = Cell::new(0);
        let work = async {
            let statements = self.prepare(std::slice::from_ref(step), &at).await?;
            self.client().query(&statements[0], &[]).await
        };
        self.block_for(Duration::MAX, work)
    }

    /// Sends all steps at once and gives their answers; the first that fails is the error, whatever came behind it.
    pub(super) fn exchange(&self, steps: &[Step]) -> Result<Vec<Vec<Row>>, Broken> {
        let step = Cell::new(0);
        let work = async {
            let statements = self.prepare(steps, &step).await?;
            let parameters: Vec<Vec<&(dyn ToSql + Sync)>> = steps
                .iter()
                .map(|step| step.parameters.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect())
                .collect();
            let asked =
                statements.iter().zip(&parameters).map(|(statement, given)| self.client().query(statement, given));
            in_order(asked, &step).await
        };
        self.block(work).map_err(|error| Broken { step: step.get(), error })
    }

    /// Waits for `future`, which uses this connection, at most until the server should have answered.
    fn block<T>(&self, future: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        self.block_for(self.answer_timeout, future)
    }

    fn block_for<T>(
        &self,
        timeout: Duration,
        future: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        refuse_async()?;
        if self.is_lost.get() {
            return Err(Error::unavailable(LOST, "the connection to the database was lost"));
        }
        let runtime = self.runtime.as_ref().expect("it goes when the line is dropped");
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = tokio::time::timeout(timeout, future) => Some(outcome),
                () = over(self.ears.as_deref()) => None,
            }
        });
        let Some(outcome) = outcome else {
            self.give_up();
            return Err(given_up());
        };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => {
                let error = of_postgres(source);
                if error.code() == LOST {
                    self.give_up();
                }
                Err(error)
            }
            Err(_) => {
                self.give_up();
                Err(Error::unavailable(LOST, "the database did not answer in time"))
            }
        }
    }

    /// Waits for something that does not use the connection, while the connection is driven.
    pub(super) fn drive<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        refuse_async()?;
        Ok(self.runtime.as_ref().expect("it goes when the line is dropped").block_on(future))
    }

    async fn prepare(&self, steps: &[Step], at: &Cell<usize>) -> Result<Vec<Statement>, tokio_postgres::Error> {
        let missing: Vec<usize> = {
            let mut known = self.statements.borrow_mut();
            if known.len() > STATEMENTS_MAX {
                known.clear();
            }
            let mut missing: Vec<usize> =
                (0..steps.len()).filter(|&step| !known.contains_key(&steps[step].sql)).collect();
            missing.sort_by_key(|&step| &steps[step].sql);
            missing.dedup_by_key(|step| &steps[*step].sql);
            missing.sort_unstable();
            missing
        };
        let prepared = in_order(missing.iter().map(|&step| self.client().prepare(&steps[step].sql)), at).await?;
        let mut known = self.statements.borrow_mut();
        for (&step, statement) in missing.iter().zip(prepared) {
            known.insert(steps[step].sql.clone(), statement);
        }
        at.set(0);
        Ok(steps.iter().map(|step| known[&step.sql].clone()).collect())
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it goes when the line is dropped")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Without a client the driver says goodbye and ends.
        self.statements.get_mut().clear();
        self.client = None;
        let Some(runtime) = self.runtime.take() else { return };
        if !self.is_lost.get() && refuse_async().is_ok() {
            let driver = &mut self.driver;
            // A server that does not take the goodbye is left without one.
            let _ = runtime.block_on(async { tokio::time::timeout(GOODBYE, driver).await });
        }
        runtime.shutdown_background();
    }
}

/// Ends when the ears are over; never without any.
async fn over(ears: Option<&Ears>) {
    match ears {
        Some(ears) => ears.over().await,
        None => std::future::pending().await,
    }
}

fn given_up() -> Error {
    Error::unavailable(LOST, "nobody waits for the database any more")
}

/// A runtime cannot wait inside another: the caller would stand still, or panic.
fn refuse_async() -> Result<()> {
    if tokio::runtime::Handle::try_current().is_ok() {
        return Err(Error::internal(
            "store_blocking",
            "a connection of Postgres is used by plain threads, not by those of an async runtime",
        ));
    }
    Ok(())
}

struct Opened {
    client: Client,
    driver: JoinHandle<()>,
    version: String,
    encoding: String,
}

async fn connect<T>(config: &Config, tls: T, ears: Option<Arc<Ears>>) -> Result<Opened>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect(tls).await.map_err(of_connecting)?;
    let said = |name| connection.parameter(name).unwrap_or_default().to_owned();
    let (version, encoding) = (said("server_version"), said("server_encoding"));
    let driver = tokio::spawn(async move {
        // What ends the connection is told to whoever asks it next.
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            match (message, &ears) {
                (AsyncMessage::Notification(_), Some(ears)) => ears.hear(),
                (AsyncMessage::Notice(notice), _) => tracing::debug!("the database says: {}", notice.message()),
                _ => {}
            }
        }
        if let Some(ears) = ears {
            ears.hear();
        }
    });
    Ok(Opened { client, driver, version, encoding })
}

/// Begins all, in order, before it waits for any; so they are sent together and answered in order.
async fn in_order<T, F>(futures: impl Iterator<Item = F>, at: &Cell<usize>) -> Result<Vec<T>, tokio_postgres::Error>
where
    F: Future<Output = Result<T, tokio_postgres::Error>>,
{
    let mut begun: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in &mut begun {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *answer = Some(value);
            }
        }
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(begun.len());
    for (place, (future, answer)) in begun.into_iter().enumerate() {
        at.set(place);
        answers.push(match answer {
            Some(value) => value?,
            None => future.await?,
        });
    }
    Ok(answers)
}
