//! Cases about mail: a message is a bead, and each recipient has a delivery of it.

use super::Site;
use super::kit::{Bench, all, at, id, issue, put_all, text};
use crate::model::value::Value;
use crate::model::{
    BeadId, BeadKind, BeadRow, BeadTextRow, DeliveryRow, DeliveryState, DependencyKind, DependencyRow, Key, Row,
    SessionId,
};
use crate::store::index::{
    BEADS_BY_KIND, DELIVERIES, DELIVERIES_BY_MESSAGE, DELIVERIES_BY_RECIPIENT, DELIVERIES_BY_THREAD, DELIVERIES_DUE,
    DEPENDENCIES,
};
use crate::store::{Position, Scan};

fn delivery(message: &str, recipient: &str) -> DeliveryRow {
    DeliveryRow {
        message: id(message),
        recipient: recipient.into(),
        sender: "tess".into(),
        thread: id(message),
        state: DeliveryState::Stored,
        priority: 2,
        session: None,
        attempts: 0,
        problem: None,
        stored_at: at(0),
        offered_at: None,
        seen_at: None,
        ended_at: None,
        expires_at: None,
        wake_at: None,
    }
}

fn send(bench: &mut Bench, deliveries: impl IntoIterator<Item = DeliveryRow>) {
    let rows: Vec<Row> = deliveries.into_iter().map(Row::Delivery).collect();
    bench.write(|txn| put_all(txn, &rows));
}

fn message_of(row: &Row) -> String {
    match row {
        Row::Delivery(delivery) => delivery.message.to_string(),
        other => panic!("{other:?} is no delivery"),
    }
}

/// The messages of one recipient in one state, in the order of his mailbox.
fn mailbox(bench: &mut Bench, who: &str, state: DeliveryState) -> Vec<String> {
    let prefix = [text(who), text(state.as_str())];
    let rows = bench.read(|reader| all(reader, &DELIVERIES_BY_RECIPIENT, &prefix));
    let count = bench.read(|reader| reader.count(&Scan::new(&DELIVERIES_BY_RECIPIENT, prefix.to_vec(), 1)).unwrap());
    assert_eq!(rows.len() as u64, count, "the count of {who}'s {}", state.as_str());
    rows.iter().map(message_of).collect()
}

fn unread(bench: &mut Bench, who: &str) -> Vec<String> {
    mailbox(bench, who, DeliveryState::Stored)
}

fn thread_of(bench: &mut Bench, thread: &str) -> Vec<String> {
    bench.read(|reader| all(reader, &DELIVERIES_BY_THREAD, &[text(thread)])).iter().map(message_of).collect()
}

/// Moves one delivery to a state.
fn advance(bench: &mut Bench, message: &str, who: &str, state: DeliveryState) {
    bench.write(|txn| {
        let Some(Row::Delivery(mut row)) = txn.get(&Key::delivery(&id(message), who)).unwrap() else {
            panic!("{message} was sent to {who}")
        };
        row.state = state;
        txn.put(&Row::Delivery(row)).unwrap();
    });
}

pub(crate) fn a_message_keeps_its_parties_its_subject_and_its_body(site: &Site) {
    let mut bench = Bench::new(site);
    let rows = [
        Row::Bead(BeadRow {
            kind: BeadKind::Message,
            title: "Build is red — again".into(),
            created_by: "rig/nux".into(),
            ..issue("gt-m1")
        }),
        Row::BeadText(BeadTextRow {
            id: id("gt-m1"),
            description: "Dear all,\r\n\n\tit is.\n".into(),
            design: String::new(),
            acceptance: String::new(),
            notes: String::new(),
        }),
        Row::Delivery(DeliveryRow { sender: "rig/nux".into(), ..delivery("gt-m1", "mayor/") }),
    ];
    bench.write(|txn| put_all(txn, &rows));
    for row in rows {
        assert_eq!(bench.get(&row.key()), Some(row));
    }
}

pub(crate) fn messages_are_not_among_the_issues(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        txn.put(&Row::Bead(BeadRow { kind: BeadKind::Message, ..issue("gt-m1") })).unwrap();
        txn.put(&Row::Bead(issue("gt-1"))).unwrap();
    });
    for (kind, name) in [("message", "gt-m1"), ("issue", "gt-1")] {
        let found = bench.read(|reader| all(reader, &BEADS_BY_KIND, &[text(kind)]));
        assert_eq!(super::kit::names(&found), [name]);
    }
}

pub(crate) fn an_empty_mailbox_is_empty(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [delivery("gt-m1", "nux")]);
    for state in DeliveryState::ALL {
        assert!(mailbox(&mut bench, "toast", *state).is_empty());
    }
    let full = DeliveryState::ALL.iter().map(|state| mailbox(&mut bench, "nux", *state).len()).sum::<usize>();
    assert_eq!(full, 1, "the one that is not empty");
}

pub(crate) fn a_message_is_in_its_recipients_mailbox_alone(site: &Site) {
    let mut bench = Bench::new(site);
    let names = ["nux", "nu", "nux ", "nux/a", "nux/", "Nux", "nüx", "", "nux\0"];
    send(&mut bench, names.iter().enumerate().map(|(n, who)| delivery(&format!("gt-m{n}"), who)));
    for (n, who) in names.iter().enumerate() {
        assert_eq!(unread(&mut bench, who), [format!("gt-m{n}")], "{who:?}");
    }
    assert!(unread(&mut bench, "tess").is_empty(), "who sends gets nothing");
}

pub(crate) fn a_message_to_many_is_in_each_mailbox(site: &Site) {
    let mut bench = Bench::new(site);
    let everybody = ["max", "nux", "toast"];
    send(&mut bench, everybody.map(|who| delivery("gt-m1", who)));
    for who in everybody {
        assert_eq!(unread(&mut bench, who), ["gt-m1"]);
    }
    let found = bench.read(|reader| all(reader, &DELIVERIES_BY_MESSAGE, &[text("gt-m1")]));
    assert_eq!(found, everybody.map(|who| Row::Delivery(delivery("gt-m1", who))));
}

pub(crate) fn reading_marks_the_message_of_one_recipient(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, ["nux", "toast"].map(|who| delivery("gt-m1", who)));
    advance(&mut bench, "gt-m1", "nux", DeliveryState::Seen);
    assert!(unread(&mut bench, "nux").is_empty());
    assert_eq!(mailbox(&mut bench, "nux", DeliveryState::Seen), ["gt-m1"]);
    assert_eq!(unread(&mut bench, "toast"), ["gt-m1"]);
}

pub(crate) fn looking_into_a_mailbox_marks_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [delivery("gt-m1", "nux")]);
    for _ in 0..3 {
        assert_eq!(unread(&mut bench, "nux"), ["gt-m1"]);
        let found = bench.get(&Key::delivery(&id("gt-m1"), "nux"));
        assert_eq!(found, Some(Row::Delivery(delivery("gt-m1", "nux"))));
    }
}

pub(crate) fn a_message_that_was_read_can_be_read_again(site: &Site) {
    let mut bench = Bench::new(site);
    let seen = DeliveryRow { state: DeliveryState::Seen, seen_at: Some(at(7)), ..delivery("gt-m1", "nux") };
    send(&mut bench, [delivery("gt-m1", "nux")]);
    send(&mut bench, [seen.clone()]);
    for _ in 0..2 {
        assert_eq!(bench.get(&Key::delivery(&id("gt-m1"), "nux")), Some(Row::Delivery(seen.clone())));
    }
}

pub(crate) fn a_message_nobody_sent_is_none(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [delivery("gt-m1", "nux")]);
    for (message, who) in [("gt-m1", "toast"), ("gt-m2", "nux"), ("gt-m1", ""), ("gt-m1", "nux ")] {
        assert_eq!(bench.get(&Key::delivery(&id(message), who)), None, "{message} to {who:?}");
    }
    assert!(bench.get(&Key::delivery(&id("gt-m1"), "nux")).is_some(), "the one that was sent");
}

pub(crate) fn a_message_marked_unread_takes_its_old_place(site: &Site) {
    let mut bench = Bench::new(site);
    let sent = |n: i64| DeliveryRow { stored_at: at(n), ..delivery(&format!("gt-m{n}"), "nux") };
    send(&mut bench, [1, 2, 3].map(sent));
    for _ in 0..5 {
        advance(&mut bench, "gt-m2", "nux", DeliveryState::Seen);
        assert_eq!(unread(&mut bench, "nux"), ["gt-m1", "gt-m3"]);
        advance(&mut bench, "gt-m2", "nux", DeliveryState::Stored);
        assert_eq!(unread(&mut bench, "nux"), ["gt-m1", "gt-m2", "gt-m3"]);
    }
}

pub(crate) fn an_archived_message_leaves_the_mailbox_and_stays_in_its_thread(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [delivery("gt-m1", "nux")]);
    for _ in 0..2 {
        // Archiving it again is the same.
        advance(&mut bench, "gt-m1", "nux", DeliveryState::Acked);
        assert!(unread(&mut bench, "nux").is_empty());
        assert_eq!(mailbox(&mut bench, "nux", DeliveryState::Acked), ["gt-m1"]);
        assert_eq!(thread_of(&mut bench, "gt-m1"), ["gt-m1"]);
    }
}

pub(crate) fn a_reply_is_in_the_thread_of_what_it_answers(site: &Site) {
    let mut bench = Bench::new(site);
    let answer = |message: &str, to: &str, second| DeliveryRow {
        thread: id("gt-m5"),
        stored_at: at(second),
        sender: "nux".into(),
        ..delivery(message, to)
    };
    send(
        &mut bench,
        [delivery("gt-m5", "nux"), answer("gt-m4", "tess", 1), answer("gt-m1", "nux", 2), delivery("gt-m6", "nux")],
    );
    let replies_to = Row::Dependency(DependencyRow {
        bead: id("gt-m4"),
        on_bead: id("gt-m5"),
        kind: DependencyKind::RepliesTo,
        counted: false,
        created_by: "nux".into(),
        created_at: at(1),
        gate: None,
        extra: None,
    });
    bench.write(|txn| txn.put(&replies_to).unwrap());
    assert_eq!(thread_of(&mut bench, "gt-m5"), ["gt-m5", "gt-m4", "gt-m1"], "oldest first");
    assert_eq!(thread_of(&mut bench, "gt-m6"), ["gt-m6"]);
    assert_eq!(bench.read(|reader| all(reader, &DEPENDENCIES, &[text("gt-m4")])), [replies_to]);
    assert_eq!(unread(&mut bench, "tess"), ["gt-m4"], "the answer goes to the sender");
}

pub(crate) fn an_unknown_thread_is_empty(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [DeliveryRow { thread: id("gt-m5"), ..delivery("gt-m1", "nux") }]);
    for thread in ["gt-m1", "gt-m", "gt-m50", "nux"] {
        assert!(thread_of(&mut bench, thread).is_empty(), "{thread}");
    }
    assert_eq!(thread_of(&mut bench, "gt-m5").len(), 1, "the one that is known");
}

pub(crate) fn a_thread_has_one_place_for_each_recipient(site: &Site) {
    let mut bench = Bench::new(site);
    let of = |message: &str, who: &str| DeliveryRow { thread: id("gt-m1"), ..delivery(message, who) };
    send(&mut bench, [of("gt-m2", "nux"), of("gt-m1", "toast"), of("gt-m1", "nux"), of("gt-m2", "max")]);
    let rows = bench.read(|reader| all(reader, &DELIVERIES_BY_THREAD, &[text("gt-m1")]));
    let places = [("gt-m1", "nux"), ("gt-m1", "toast"), ("gt-m2", "max"), ("gt-m2", "nux")];
    assert_eq!(rows, places.map(|(message, who)| Row::Delivery(of(message, who))));
}

pub(crate) fn counts_of_a_mailbox_follow_every_change(site: &Site) {
    let mut bench = Bench::new(site);
    let counts = |bench: &mut Bench| {
        [DeliveryState::Stored, DeliveryState::Seen, DeliveryState::Acked]
            .map(|state| mailbox(bench, "nux", state).len())
    };
    assert_eq!(counts(&mut bench), [0, 0, 0]);
    send(&mut bench, (0..10).map(|n| delivery(&format!("gt-m{n}"), "nux")));
    assert_eq!(counts(&mut bench), [10, 0, 0]);
    for n in 0..4 {
        advance(&mut bench, &format!("gt-m{n}"), "nux", DeliveryState::Seen);
    }
    advance(&mut bench, "gt-m0", "nux", DeliveryState::Acked);
    assert_eq!(counts(&mut bench), [6, 3, 1]);
    bench.write(|txn| txn.delete(&Key::delivery(&id("gt-m1"), "nux")).unwrap());
    assert_eq!(counts(&mut bench), [6, 2, 1]);
}

pub(crate) fn a_deleted_message_is_gone_from_everywhere(site: &Site) {
    let mut bench = Bench::new(site);
    let kept = DeliveryRow { wake_at: Some(at(1)), ..delivery("gt-m2", "nux") };
    send(&mut bench, [DeliveryRow { wake_at: Some(at(1)), ..delivery("gt-m1", "nux") }, kept.clone()]);
    bench.write(|txn| txn.delete(&Key::delivery(&id("gt-m1"), "nux")).unwrap());
    assert_eq!(bench.get(&Key::delivery(&id("gt-m1"), "nux")), None);
    bench.read(|reader| {
        let kept = [Row::Delivery(kept)];
        assert_eq!(all(reader, &DELIVERIES, &[]), kept);
        assert_eq!(all(reader, &DELIVERIES_BY_MESSAGE, &[text("gt-m1")]), []);
        assert_eq!(all(reader, &DELIVERIES_BY_THREAD, &[text("gt-m1")]), []);
        assert_eq!(all(reader, &DELIVERIES_DUE, &[]), kept);
        assert_eq!(all(reader, &DELIVERIES_BY_RECIPIENT, &[text("nux"), text("stored")]), kept);
    });
}

pub(crate) fn urgent_mail_comes_first_and_then_the_oldest(site: &Site) {
    let mut bench = Bench::new(site);
    let sent = [("gt-m1", 2, 5), ("gt-m2", 0, 9), ("gt-m3", 2, 1), ("gt-m4", 4, 0), ("gt-m5", 2, 1)];
    let rows = sent.map(|(message, priority, second)| DeliveryRow {
        priority,
        stored_at: at(second),
        ..delivery(message, "nux")
    });
    send(&mut bench, rows);
    assert_eq!(unread(&mut bench, "nux"), ["gt-m2", "gt-m3", "gt-m5", "gt-m1", "gt-m4"]);
}

pub(crate) fn mail_expires_when_its_time_has_come(site: &Site) {
    let mut bench = Bench::new(site);
    let sent = |message: &str, second: Option<i64>| DeliveryRow {
        expires_at: second.map(at),
        wake_at: second.map(at),
        ..delivery(message, "nux")
    };
    send(&mut bench, [sent("gt-m1", Some(20)), sent("gt-m2", None), sent("gt-m3", Some(10))]);
    let due = |bench: &mut Bench, now: i64| -> Vec<String> {
        let scan = Scan::new(&DELIVERIES_DUE, vec![], 10).upto(Value::Int(at(now).as_micros()));
        bench.read(|reader| reader.scan(&scan).unwrap()).iter().map(message_of).collect()
    };
    assert!(due(&mut bench, 9).is_empty());
    assert_eq!(due(&mut bench, 10), ["gt-m3"]);
    assert_eq!(due(&mut bench, 20), ["gt-m3", "gt-m1"]);
    send(&mut bench, [DeliveryRow { state: DeliveryState::Expired, wake_at: None, ..sent("gt-m3", Some(10)) }]);
    assert_eq!(due(&mut bench, 1_000), ["gt-m1"]);
    assert_eq!(unread(&mut bench, "nux"), ["gt-m1", "gt-m2"]);
    assert_eq!(mailbox(&mut bench, "nux", DeliveryState::Expired), ["gt-m3"]);
}

pub(crate) fn a_message_is_in_one_state_at_a_time(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [delivery("gt-m1", "nux")]);
    let way = DeliveryState::ALL.iter().chain(DeliveryState::ALL.iter().rev());
    for state in way {
        advance(&mut bench, "gt-m1", "nux", *state);
        for other in DeliveryState::ALL {
            let found = mailbox(&mut bench, "nux", *other);
            assert_eq!(found.len(), usize::from(other == state), "{} while {}", other.as_str(), state.as_str());
        }
    }
}

pub(crate) fn every_step_of_a_delivery_is_kept(site: &Site) {
    let mut bench = Bench::new(site);
    let mut row = delivery("gt-m1", "nux");
    let mut step = |bench: &mut Bench, change: fn(&mut DeliveryRow)| {
        change(&mut row);
        send(bench, [row.clone()]);
        assert_eq!(bench.get(&Key::delivery(&id("gt-m1"), "nux")), Some(Row::Delivery(row.clone())));
    };
    step(&mut bench, |_| ());
    step(&mut bench, |row| row.session = Some(SessionId::new("s-1").unwrap()));
    step(&mut bench, |row| (row.state, row.attempts, row.offered_at) = (DeliveryState::Offered, 1, Some(at(1))));
    step(&mut bench, |row| (row.problem, row.attempts) = (Some("the session ended".into()), 2));
    step(&mut bench, |row| (row.problem, row.seen_at) = (None, Some(at(3))));
    step(&mut bench, |row| (row.state, row.ended_at) = (DeliveryState::Dead, Some(at(4))));
}

pub(crate) fn a_mailbox_is_read_by_pages_while_mail_comes_in(site: &Site) {
    let mut bench = Bench::new(site);
    let sent = |n: i64| DeliveryRow { stored_at: at(n), ..delivery(&format!("gt-m{n:03}"), "nux") };
    send(&mut bench, (0..40).map(sent));
    let prefix = vec![text("nux"), text("stored")];
    let (mut position, mut read): (Option<Position>, Vec<BeadId>) = (None, Vec::new());
    for page in 0.. {
        let scan = Scan::new(&DELIVERIES_BY_RECIPIENT, prefix.clone(), 6).after(position.clone());
        let rows = bench.read(|reader| reader.scan(&scan).unwrap());
        let Some(last) = rows.last() else { break };
        position = Some(Position::of(&DELIVERIES_BY_RECIPIENT, last));
        for row in &rows {
            let Row::Delivery(delivery) = row else { panic!("it is a delivery") };
            read.push(delivery.message.clone());
        }
        // Some are put away meanwhile, one comes at the end, and an urgent one that goes before all of them.
        advance(&mut bench, &message_of(last), "nux", DeliveryState::Seen);
        if page < 5 {
            send(&mut bench, [sent(100 + page), DeliveryRow { priority: 0, ..sent(200 + page) }]);
        }
        assert!(page < 50, "paging ends");
    }
    let wanted: Vec<_> = (0..40).chain(100..105).map(|n| id(&format!("gt-m{n:03}"))).collect();
    assert_eq!(read, wanted);
}

pub(crate) fn mail_goes_from_sent_to_read_to_put_away(site: &Site) {
    let mut bench = Bench::new(site);
    send(&mut bench, [delivery("gt-m1", "nux"), delivery("gt-m2", "nux")]);
    assert_eq!(unread(&mut bench, "nux").len(), 2);
    for (message, left) in [("gt-m1", 1), ("gt-m2", 0)] {
        advance(&mut bench, message, "nux", DeliveryState::Seen);
        advance(&mut bench, message, "nux", DeliveryState::Acked);
        assert_eq!(unread(&mut bench, "nux").len(), left);
    }
    assert_eq!(mailbox(&mut bench, "nux", DeliveryState::Acked), ["gt-m1", "gt-m2"]);
    assert!(mailbox(&mut bench, "nux", DeliveryState::Seen).is_empty());
}
