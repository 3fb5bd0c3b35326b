//! The judge on a thread of its own, behind a bounded queue.

use crate::target::{ClientPlan, Terms};
use crate::truth::{Findings, Judge, News};
use anyhow::{Result, anyhow};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Passes whose news may wait for the judge.
const QUEUE: usize = 256;

enum Message {
    News(Box<News>, u64),
    Terms(Terms),
    Measured(Range<u64>),
}

/// The way to the judge for one thread of the swarm.
pub(super) struct Clerk {
    to: SyncSender<Message>,
    /// Empty news that come back.
    spare: Arc<std::sync::Mutex<Receiver<Box<News>>>>,
    /// News that found the queue full.
    waiting: Option<(Box<News>, u64)>,
    shed: u64,
}

/// The judge's thread.
pub(super) struct Court {
    thread: JoinHandle<Findings>,
    to: SyncSender<Message>,
    spare: Arc<std::sync::Mutex<Receiver<Box<News>>>>,
    settled: Arc<AtomicBool>,
}

impl Court {
    pub(super) fn open(plans: &[ClientPlan], faulted: bool) -> Result<Self> {
        let judge = Judge::new(plans, faulted);
        let (to, from) = sync_channel(QUEUE);
        let (back, spare) = sync_channel(QUEUE);
        let settled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&settled);
        let work = move || {
            step_back();
            judge_all(judge, &from, &back, &flag)
        };
        let thread = std::thread::Builder::new().name("truth".to_owned()).spawn(work)?;
        Ok(Self { thread, to, spare: Arc::new(std::sync::Mutex::new(spare)), settled })
    }

    pub(super) fn clerk(&self) -> Clerk {
        let spare = Arc::clone(&self.spare);
        Clerk { to: self.to.clone(), spare, waiting: None, shed: 0 }
    }

    pub(super) fn set_terms(&self, terms: Terms) {
        let _gone = self.to.send(Message::Terms(terms));
    }

    pub(super) fn set_measured(&self, measured: Range<u64>) {
        let _gone = self.to.send(Message::Measured(measured));
    }

    /// Has everything that was published arrived where it is owed?
    pub(super) fn events_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Waits for the judgement. Every clerk must be gone.
    pub(super) fn close(self, shed: u64) -> Result<Findings> {
        drop(self.to);
        let mut found = self.thread.join().map_err(|_| anyhow!("the truth's thread panicked"))?;
        found.frames_shed += shed;
        Ok(found)
    }
}

/// Runs only where nobody else has work: the judge has until the queue is full, the swarm has until the
/// tick. Whoever is merely nicer keeps a core to the end of its slice, 3 ms, whoever wakes meanwhile; who
/// is idle leaves it at once.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // It judges as well without; only lateness would tell.
        let _refused =
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    }
}

fn judge_all(
    mut judge: Judge,
    from: &Receiver<Message>,
    back: &SyncSender<Box<News>>,
    settled: &AtomicBool,
) -> Findings {
    for message in from {
        match message {
            Message::News(mut news, now_ns) => {
                judge.take(&news, now_ns);
                settled.store(judge.events_settled(now_ns), Ordering::Relaxed);
                news.clear();
                // With enough of them on their way this one is not needed.
                let _surplus = back.try_send(news);
            }
            Message::Terms(terms) => judge.set_terms(terms),
            Message::Measured(measured) => judge.set_measured(measured),
        }
    }
    judge.finish()
}

impl Clerk {
    /// Empty news to write into.
    pub(super) fn blank(&self) -> Box<News> {
        let spare = self.spare.lock().map(|spare| spare.try_recv());
        match spare {
            Ok(Ok(news)) => news,
            Ok(Err(TryRecvError::Empty | TryRecvError::Disconnected)) | Err(_) => Box::default(),
        }
    }

    /// Hands news over. Where the judge is behind, who holds what is left out and counted; what
    /// the server took and what became of events never is.
    pub(super) fn hand_over(&mut self, news: Box<News>, now_ns: u64) {
        if let Some((waiting, at_ns)) = self.waiting.take()
            && let Err(TrySendError::Full(Message::News(waiting, at_ns))) =
                self.to.try_send(Message::News(waiting, at_ns))
        {
            let mut waiting = waiting;
            self.shed += waiting.shed_frames();
            waiting.append(*news);
            self.shed += waiting.shed_frames();
            self.waiting = Some((waiting, at_ns));
            return;
        }
        if let Err(TrySendError::Full(Message::News(news, now_ns))) =
            self.to.try_send(Message::News(news, now_ns))
        {
            self.waiting = Some((news, now_ns));
        }
    }

    /// Hands over what still waits; returns how many frames were left out.
    pub(super) fn finish(mut self) -> u64 {
        if let Some((news, now_ns)) = self.waiting.take() {
            let _gone = self.to.send(Message::News(news, now_ns));
        }
        self.shed
    }
}
