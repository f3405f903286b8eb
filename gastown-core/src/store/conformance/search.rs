//! Cases about words in titles and texts, and about the entries of one subject.

use super::Site;
use super::kit::{Bench, all, at, code, id, issue, names, other_town, put_all, text};
use super::sample::{self, Draw};
use crate::model::value::Value;
use crate::model::{BeadRow, BeadTextRow, Event, Head, Key, Row, RowKind};
use crate::store::index::BEADS;
use crate::store::search::words;
use crate::store::{Position, Reader, Search, SearchTerm};

fn bead(name: &str, second: i64, title: &str) -> Row {
    Row::Bead(BeadRow { title: title.into(), created_at: at(second), ..issue(name) })
}

fn texts(name: &str, description: &str, notes: &str) -> Row {
    let (description, notes) = (description.to_owned(), notes.to_owned());
    Row::BeadText(BeadTextRow { id: id(name), description, design: String::new(), acceptance: String::new(), notes })
}

/// What a person looks for; a star behind a word means longer ones too.
pub(super) fn of(asked: &str) -> Search {
    let term = |word: &str| SearchTerm { word: words(word).next().unwrap().1, is_prefix: word.ends_with('*') };
    Search::new(asked.split(' ').map(term).collect(), 1_000)
}

fn of_titles(asked: &str) -> Search {
    Search { title_only: true, ..of(asked) }
}

/// Whether the bead holds all words, by a plain look.
fn holds(reader: &dyn Reader, row: &Row, search: &Search) -> bool {
    let Row::Bead(bead) = row else { return false };
    let mut found: Vec<String> = words(&bead.title).map(|(_, word)| word).collect();
    if !search.title_only
        && let Some(Row::BeadText(texts)) = reader.get(&Key::bead_text(&bead.id)).unwrap()
    {
        for text in [texts.description, texts.design, texts.acceptance, texts.notes] {
            found.extend(words(&text).map(|(_, word)| word));
        }
    }
    let has = |term: &SearchTerm| {
        found.iter().any(|word| if term.is_prefix { word.starts_with(&term.word) } else { *word == term.word })
    };
    search.terms.iter().all(has)
}

/// The beads that hold the words, of those that the backend names.
fn found(reader: &dyn Reader, search: &Search) -> Vec<String> {
    let rows = reader.search(search).unwrap();
    let place = |row: &Row| match row {
        Row::Bead(bead) => Search::place(bead),
        other => panic!("{other:?} is no bead"),
    };
    assert!(rows.windows(2).all(|pair| place(&pair[0]) > place(&pair[1])), "the newest first, each once");
    assert!(rows.len() <= search.limit);
    let there = all(reader, &BEADS, &[]);
    assert!(rows.iter().all(|row| there.contains(row)), "rows as they are, of this town");
    names(&rows.into_iter().filter(|row| holds(reader, row, search)).collect::<Vec<_>>())
}

/// Whether all backends would find these, and this one does.
fn finds(bench: &mut Bench, search: &Search, wanted: &[&str]) {
    let found = bench.read(|reader| found(reader, search));
    assert_eq!(found, wanted, "{:?}", search.terms);
}

pub(crate) fn words_are_found_in_titles_and_texts(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| {
        put_all(
            txn,
            &[
                bead("gt-1", 1, "Lay the keel"),
                texts("gt-1", "Oak, not pine; see yard-7", "bring a saw"),
                texts("gt-2", "The keel is laid by then", ""),
                bead("gt-2", 2, "Raise the mast"),
                bead("gt-3", 3, "The KEEL's paint (red)"),
            ],
        );
    });
    finds(&mut bench, &of("keel"), &["gt-3", "gt-2", "gt-1"]);
    finds(&mut bench, &of("mast keel"), &["gt-2"]);
    finds(&mut bench, &of("ke*"), &["gt-3", "gt-2", "gt-1"]);
    finds(&mut bench, &of("ke"), &[]);
    finds(&mut bench, &of("saw yard 7"), &["gt-1"]);
    finds(&mut bench, &of("nothing"), &[]);
    finds(&mut bench, &of_titles("keel"), &["gt-3", "gt-1"]);
    finds(&mut bench, &of_titles("the r*"), &["gt-3", "gt-2"]);
}

pub(crate) fn words_are_found_as_they_are_now(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| put_all(txn, &[bead("gt-1", 1, "one"), bead("gt-2", 2, "one"), texts("gt-2", "oak", "")]));
    // More than any backend puts off, so that an index has what was.
    let many: Vec<Row> = (0..300).map(|n| bead(&format!("gt-x{n:03}"), -n, "filler")).collect();
    bench.write(|txn| put_all(txn, &many));
    bench.write(|txn| put_all(txn, &[bead("gt-1", 1, "two"), texts("gt-1", "elm", ""), texts("gt-2", "ash", "")]));
    finds(&mut bench, &of("one"), &["gt-2"]);
    finds(&mut bench, &of("two elm"), &["gt-1"]);
    finds(&mut bench, &of("oak"), &[]);
    finds(&mut bench, &of("one ash"), &["gt-2"]);
    bench.write(|txn| txn.delete(&Key::bead_text(&id("gt-2"))).unwrap());
    finds(&mut bench, &of("ash"), &[]);
    finds(&mut bench, &of("one"), &["gt-2"]);
    bench.write(|txn| txn.delete(&Key::bead(&id("gt-2"))).unwrap());
    finds(&mut bench, &of("one"), &[]);
    bench.write(|txn| put_all(txn, &[bead("gt-2", 9, "three"), texts("gt-2", "fir", "")]));
    finds(&mut bench, &of("three fir"), &["gt-2"]);
    finds(&mut bench, &of("one"), &[]);
}

pub(crate) fn a_bead_that_changes_again_and_again_is_found_by_its_last_words(site: &Site) {
    let mut bench = Bench::new(site);
    let many: Vec<Row> = (0..200).map(|n| bead(&format!("gt-x{n:03}"), -n, "filler")).collect();
    bench.write(|txn| put_all(txn, &many));
    for n in 0..5 {
        bench.write(|txn| {
            let title = format!("title{n}");
            put_all(txn, &[bead("gt-x003", -3, &title), texts("gt-x003", &format!("text{n}"), "")]);
            // And back, by parts.
            txn.replace(&bead("gt-x003", -3, &title), &bead("gt-x003", -3, "between")).unwrap();
            txn.replace(&bead("gt-x003", -3, "between"), &bead("gt-x003", -3, &title)).unwrap();
        });
        finds(&mut bench, &of(&format!("title{n} text{n}")), &["gt-x003"]);
        finds(&mut bench, &of("between"), &[]);
        finds(&mut bench, &of(&format!("text{}", n + 1)), &[]);
        bench.write(|txn| txn.delete(&Key::bead(&id("gt-x003"))).unwrap());
        finds(&mut bench, &of(&format!("text{n}")), &[]);
        bench.write(|txn| put_all(txn, &[bead("gt-x003", -3, "filler")]));
    }
    assert_eq!(bench.read(|reader| found(reader, &of("filler"))).len(), 200);
}

pub(crate) fn words_are_found_in_hundreds_of_beads_of_any_order(site: &Site) {
    let mut bench = Bench::new(site);
    // In one transaction, then each in its own, with the texts in front, behind, or of a later transaction.
    let title = |n: i64| if n % 3 == 0 { "fizz here" } else { "plain" };
    let row = |n: i64| bead(&format!("gt-{n:03}"), (n * 7) % 301, title(n));
    let text_of = |n: i64| texts(&format!("gt-{n:03}"), if n % 5 == 0 { "buzz there" } else { "dull" }, "");
    bench.write(|txn| (0..150).for_each(|n| put_all(txn, &[row(n), text_of(n)])));
    for n in 150..300 {
        match n % 3 {
            0 => bench.write(|txn| put_all(txn, &[text_of(n), row(n)])),
            1 => bench.write(|txn| put_all(txn, &[row(n), text_of(n)])),
            _ => {
                bench.write(|txn| txn.put(&row(n)).unwrap());
                bench.write(|txn| txn.put(&text_of(n)).unwrap());
            }
        }
    }
    let wanted = |fits: fn(i64) -> bool| {
        let mut all: Vec<i64> = (0..300).filter(|n| fits(*n)).collect();
        all.sort_by_key(|n| std::cmp::Reverse(((n * 7) % 301, *n)));
        all.into_iter().map(|n| format!("gt-{n:03}")).collect::<Vec<_>>()
    };
    let look = |bench: &mut Bench, asked: &str| bench.read(|reader| found(reader, &of(asked)));
    assert_eq!(look(&mut bench, "fizz"), wanted(|n| n % 3 == 0));
    assert_eq!(look(&mut bench, "buzz"), wanted(|n| n % 5 == 0));
    assert_eq!(look(&mut bench, "here there"), wanted(|n| n % 15 == 0));
    // All texts change, then all titles.
    bench.write(|txn| (0..300).for_each(|n| txn.put(&texts(&format!("gt-{n:03}"), "quiet now", "")).unwrap()));
    assert_eq!(look(&mut bench, "buzz"), [""; 0]);
    assert_eq!(look(&mut bench, "quiet fizz"), wanted(|n| n % 3 == 0));
    for n in 0..300 {
        bench.write(|txn| txn.put(&bead(&format!("gt-{n:03}"), (n * 7) % 301, &format!("title{n}"))).unwrap());
    }
    assert_eq!(look(&mut bench, "fizz"), [""; 0]);
    assert_eq!(look(&mut bench, "quiet title7"), ["gt-007"]);
    assert_eq!(look(&mut bench, "title*").len(), 300);
}

pub(crate) fn a_search_goes_on_behind_a_place(site: &Site) {
    let mut bench = Bench::new(site);
    let rows: Vec<Row> = (0..40).map(|n| bead(&format!("gt-{n:02}"), i64::from(n / 4), "same words")).collect();
    bench.write(|txn| put_all(txn, &rows));
    let whole = bench.read(|reader| found(reader, &of("words")));
    let wanted: Vec<String> = (0..40).rev().map(|n| format!("gt-{n:02}")).collect();
    assert_eq!(whole, wanted, "the newest first, and of equal age by id");
    for limit in [1, 3, 7, 40, 41] {
        let (mut read, mut search) = (Vec::new(), Search { limit, ..of("same") });
        for page in 0.. {
            assert!(page < 100, "paging ends");
            let page = bench.read(|reader| reader.search(&search).unwrap());
            assert!(page.len() <= limit);
            let Some(Row::Bead(last)) = page.last() else { break };
            search.after = Some(Search::place(last));
            read.extend(names(&page));
        }
        assert_eq!(read, wanted, "by {limit}");
    }
    bench.read(|reader| {
        assert!(reader.search(&Search { limit: 0, ..of("same") }).unwrap().is_empty());
        let place = |values: Vec<Value>| Search { after: Some(Position(values)), ..of("same") };
        // A place of a bead that is not there.
        assert_eq!(found(reader, &place(vec![Value::Int(2_000_000), text("gt-09x")])).len(), 10);
        assert_eq!(found(reader, &place(vec![Value::Int(i64::MIN), text("")])), [""; 0]);
        assert_eq!(code(reader.search(&place(vec![text("x")]))), "position_malformed");
        assert_eq!(code(reader.search(&Search::new(vec![], 10))), "search_malformed");
        let hostile = SearchTerm { word: "a\" OR title : *".into(), is_prefix: false };
        assert_eq!(code(reader.search(&Search::new(vec![hostile], 10))), "search_malformed");
    });
}

pub(crate) fn words_of_any_script_are_found(site: &Site) {
    let mut bench = Bench::new(site);
    let titles = [
        "ÜBERGABE an der Straße",
        "naïve café",
        "nai\u{308}ve cafe\u{301}",
        "Привет, МИР",
        "日本語のテスト",
        "ΛΌΓΟΣ",
        "שלום עולם",
        "مرحبا بالعالم",
        "हिन्दी शब्द",
        "İstanbul \u{212a}elvin",
        "emoji🦀between a\u{e000}b",
        "NEAR OR AND NOT title",
        "nul\u{0}nul quote\"quote 'single' -dash col:umn ^caret {brace} (paren) star* back\\slash",
        "x1y2 3z \u{301}begins mid\u{300}dle",
        "ǅ ǆ ﬁ Ⅷ ½ ² ẞ ſ",
    ];
    let rows: Vec<Row> = (1..).zip(titles).map(|(n, title)| bead(&format!("gt-{n}"), n, title)).collect();
    bench.write(|txn| put_all(txn, &rows));
    // Every word of every title finds its bead, whole and by its beginning.
    for (n, title) in (1..).zip(titles) {
        for (_, word) in words(title) {
            let beginning = word.chars().next().unwrap().to_string();
            for (word, is_prefix) in [(word.clone(), false), (word, true), (beginning, true)] {
                let search = Search::new(vec![SearchTerm { word: word.clone(), is_prefix }], 100);
                let found = bench.read(|reader| found(reader, &search));
                assert!(found.contains(&format!("gt-{n}")), "{word:?} of {title:?}");
            }
        }
    }
    finds(&mut bench, &of("cafe"), &[]);
    finds(&mut bench, &of("МИР"), &["gt-4"]);
    finds(&mut bench, &of("or near"), &["gt-12"]);
}

pub(crate) fn long_texts_and_long_words_are_found(site: &Site) {
    let mut bench = Bench::new(site);
    let long = "a".repeat(500);
    let many: String = (0..60_000).fold(String::new(), |text, n| text + "word" + &n.to_string() + " ");
    bench.write(|txn| {
        put_all(
            txn,
            &[
                bead("gt-1", 1, "long"),
                texts("gt-1", &many, &format!("{long} {long}b")),
                bead("gt-2", 2, &"t".repeat(400)),
                bead("gt-3", 3, "long"),
                texts("gt-3", &"z".repeat(1_000_000), "end"),
            ],
        );
    });
    finds(&mut bench, &of("word59999"), &["gt-1"]);
    finds(&mut bench, &of(&long), &["gt-1"]);
    finds(&mut bench, &of(&format!("{}*", "a".repeat(90))), &["gt-1"]);
    finds(&mut bench, &of(&"a".repeat(499)), &[]);
    finds(&mut bench, &of_titles(&"t".repeat(400)), &["gt-2"]);
    finds(&mut bench, &of("long end"), &["gt-3"]);
}

pub(crate) fn a_transaction_searches_its_own_changes(site: &Site) {
    let mut bench = Bench::new(site);
    let many: Vec<Row> = (0..200).map(|n| bead(&format!("gt-x{n:03}"), -n, "filler")).collect();
    bench.write(|txn| {
        put_all(txn, &many);
        put_all(txn, &[bead("gt-1", 1, "red"), bead("gt-2", 2, "green")]);
        assert_eq!(found(txn.as_reader(), &of("red")), ["gt-1"]);
        txn.savepoint().unwrap();
        put_all(txn, &[bead("gt-1", 1, "blue"), texts("gt-2", "blue", ""), bead("gt-3", 3, "blue")]);
        put_all(txn, &(0..200).map(|n| bead(&format!("gt-y{n:03}"), -n, "blue")).collect::<Vec<_>>());
        txn.delete(&Key::bead(&id("gt-x000"))).unwrap();
        assert_eq!(found(txn.as_reader(), &of("blue")).len(), 203);
        assert_eq!(found(txn.as_reader(), &of("red")), [""; 0]);
        txn.rollback_to_savepoint().unwrap();
        assert_eq!(found(txn.as_reader(), &of("blue")), [""; 0]);
        assert_eq!(found(txn.as_reader(), &of("red")), ["gt-1"]);
        assert_eq!(found(txn.as_reader(), &of("filler")).len(), 200);
        put_all(txn, &[bead("gt-3", 3, "blue")]);
    });
    finds(&mut bench, &of("blue"), &["gt-3"]);
    finds(&mut bench, &of("red"), &["gt-1"]);
    let mut txn = bench.writer.write(&super::kit::town()).unwrap();
    put_all(&mut *txn, &many.iter().map(|row| retitled(row, "gone")).collect::<Vec<_>>());
    drop(txn);
    finds(&mut bench, &of("gone"), &[]);
    assert_eq!(bench.read(|reader| found(reader, &of("filler"))).len(), 200);
}

fn retitled(row: &Row, title: &str) -> Row {
    match row {
        Row::Bead(bead) => Row::Bead(BeadRow { title: title.into(), ..bead.clone() }),
        other => panic!("{other:?} is no bead"),
    }
}

pub(crate) fn a_search_is_of_one_town_and_one_moment(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| put_all(txn, &[bead("gt-1", 1, "shared"), texts("gt-1", "here", "")]));
    bench.write_in(&other_town(), |txn| put_all(txn, &[bead("gt-1", 1, "shared"), texts("gt-1", "there", "")]));
    finds(&mut bench, &of("shared here"), &["gt-1"]);
    finds(&mut bench, &of("there"), &[]);
    let reader = bench.reader.read(&super::kit::town()).unwrap();
    let mut writer = bench.backend.connect(crate::store::Access::Write).unwrap();
    let mut txn = writer.write(&super::kit::town()).unwrap();
    put_all(&mut *txn, &(0..300).map(|n| bead(&format!("gt-n{n}"), n, "shared")).collect::<Vec<_>>());
    txn.put(&bead("gt-1", 1, "other")).unwrap();
    txn.commit().unwrap();
    assert_eq!(found(&*reader, &of("shared")), ["gt-1"], "as the snapshot was");
    drop(reader);
    assert_eq!(bench.read(|reader| found(reader, &of("shared"))).len(), 300);
}

pub(crate) fn a_bead_that_cannot_be_read_stops_no_search(site: &Site) {
    let mut bench = Bench::new(site);
    let rows: Vec<Row> = (0..6).map(|n| bead(&format!("gt-{n}"), n, "word")).collect();
    let mut damaged = rows[4].to_values();
    damaged[RowKind::Bead.position("kind").unwrap()] = text("no kind");
    bench.write(|txn| {
        put_all(txn, &rows);
        txn.put_values(RowKind::Bead, &damaged).unwrap();
    });
    let search = Search { limit: 3, ..of("word") };
    assert_eq!(bench.read(|reader| found(reader, &search)), ["gt-5", "gt-3", "gt-2"]);
    bench.read(|reader| {
        reader.search(&search).unwrap();
        assert!(reader.unreadable().len() <= 1);
    });
}

/// Entries of which every third is about one subject.
fn entries() -> Vec<Event> {
    let (mut draw, mut head, mut written) = (Draw::new(77), Head::default(), Vec::new());
    for n in 0..60 {
        let mut event = sample::event(&head, None, &mut draw);
        event.subject = if n % 3 == 0 { "gt-1".into() } else { format!("gt-1{n}") };
        event.hash = event.hash_after(&head.hash);
        head = event.head();
        written.push(event);
    }
    written
}

pub(crate) fn the_events_of_a_subject_are_its_own_in_order(site: &Site) {
    let mut bench = Bench::new(site);
    let written = entries();
    let wanted: Vec<Event> = written.iter().filter(|event| event.subject == "gt-1").cloned().collect();
    bench.write(|txn| {
        txn.append(&written).unwrap();
        assert_eq!(txn.events_of("gt-1", 0, 100).unwrap(), wanted);
    });
    bench.write_in(&other_town(), |txn| txn.append(&written).unwrap());
    bench.read(|reader| {
        assert_eq!(reader.events_of("gt-1", 0, 1_000).unwrap(), wanted);
        assert_eq!(reader.events_of("gt-1", 0, 3).unwrap(), wanted[..3]);
        assert_eq!(reader.events_of("gt-1", wanted[4].seq, 3).unwrap(), wanted[5..8]);
        assert_eq!(reader.events_of("gt-1", wanted[4].seq - 1, 1).unwrap(), wanted[4..5]);
        assert_eq!(reader.events_of("gt-1", 60, 10).unwrap(), []);
        assert_eq!(reader.events_of("gt-1", 0, 0).unwrap(), []);
        assert_eq!(reader.events_of("gt", 0, 10).unwrap(), []);
        assert_eq!(reader.events_of("' OR 1=1 --", 0, 10).unwrap(), []);
    });
    bench.write(|txn| txn.truncate_events(30).unwrap());
    let kept: Vec<Event> = wanted.into_iter().filter(|event| event.seq > 30).collect();
    assert_eq!(bench.read(|reader| reader.events_of("gt-1", 0, 100).unwrap()), kept);
}
