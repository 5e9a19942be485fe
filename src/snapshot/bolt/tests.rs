//! The reader against databases whose content is known: what is in them is seen, exactly and in
//! order; each way to damage one is found and named; and no bytes make the reader panic or loop.

use super::specimen::{
    self, Buckets, Element, Layout, Pages, branch_content, bucket_header, inline, leaf_content,
    seal_metas,
};
use super::*;
use proptest::prelude::*;

/// Notes everything that is shown.
#[derive(Default)]
struct Notes(Vec<(Vec<u8>, Entries)>);

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

impl Visitor for Notes {
    fn bucket(&mut self, name: &[u8]) -> Result<(), Damage> {
        self.0.push((name.to_vec(), Vec::new()));
        Ok(())
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        let (_, entries) = self.0.last_mut().unwrap();
        entries.push((key.to_vec(), value.to_vec()));
        Ok(())
    }
}

fn walk(bytes: &[u8]) -> Result<Notes, Damage> {
    let file = specimen::file(bytes);
    let mut notes = Notes::default();
    Database::open(&file, bytes.len() as u64)?.walk(&mut notes)?;
    Ok(notes)
}

/// What is wrong with a database that must not pass.
fn damage(bytes: &[u8]) -> String {
    match walk(bytes) {
        Ok(_) => "nothing".into(),
        Err(damage) => damage.to_string(),
    }
}

fn layouts() -> impl Strategy<Value = Layout> {
    let fanout = prop_oneof![Just(2usize), 3usize..8, Just(1000)];
    (10u32..=16, fanout, any::<bool>(), any::<bool>()).prop_map(
        |(shift, fanout, inlines, lists_free)| Layout {
            page_size: 1 << shift,
            fanout,
            inlines,
            lists_free,
        },
    )
}

/// Values are given in bytes and quarters of a page, so that some overflow at every page size.
type Sizes = (u8, usize, usize);

fn sizes() -> impl Strategy<Value = Sizes> {
    let quarters = prop_oneof![12 => Just(0usize), 1 => 1usize..12];
    (any::<u8>(), 0usize..60, quarters)
}

fn databases() -> impl Strategy<Value = (Layout, Buckets)> {
    let key = prop::collection::vec(any::<u8>(), 1..30);
    let entries = prop::collection::btree_map(key, sizes(), 0..60);
    let name = prop_oneof![
        Just(b"key".to_vec()),
        Just(b"meta".to_vec()),
        prop::collection::vec(any::<u8>(), 1..12)
    ];
    let buckets = prop::collection::btree_map(name, entries, 0..6);
    (layouts(), buckets).prop_map(|(layout, buckets)| {
        let value =
            |(fill, bytes, quarters): Sizes| vec![fill; bytes + quarters * layout.page_size / 4];
        let buckets = buckets
            .into_iter()
            .map(|(name, entries)| {
                let entries = entries.into_iter().map(|(key, sizes)| (key, value(sizes)));
                (name, entries.collect())
            })
            .collect();
        (layout, buckets)
    })
}

/// The last key of a bucket, by the quick look.
fn last_key(database: &Database<'_>, bucket: &[u8]) -> Result<Option<Vec<u8>>, Damage> {
    let mut last = None;
    database.last_entries(bucket, &mut |key, _| last = Some(key.to_vec()))?;
    Ok(last)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_walk_sees_every_bucket_and_entry_in_order((layout, buckets) in databases()) {
        let bytes = layout.build(&buckets);
        let file = specimen::file(&bytes);
        let database = Database::open(&file, bytes.len() as u64).unwrap();
        prop_assert_eq!(database.page_size() as usize, layout.page_size);
        prop_assert_eq!(database.size(), bytes.len() as u64);
        let mut seen = Notes::default();
        database.walk(&mut seen).unwrap();
        let mut expected: Vec<(Vec<u8>, Entries)> = buckets
            .iter()
            .map(|(name, entries)| (name.clone(), entries.clone().into_iter().collect()))
            .collect();
        expected.sort_by_key(|(name, _)| name != b"meta");
        prop_assert!(seen.0 == expected, "the walk saw something else");
        for (name, entries) in &buckets {
            let last = entries.last_key_value().map(|(key, _)| key.clone());
            prop_assert_eq!(last_key(&database, name).unwrap(), last);
        }
        prop_assert_eq!(last_key(&database, b"no such bucket").unwrap(), None);
    }

    #[test]
    fn no_damage_makes_the_reader_panic_or_loop(
        (layout, buckets) in databases(),
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>(), 1usize..5), 0..6),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        is_sealed in any::<bool>(),
    ) {
        let mut bytes = layout.build(&buckets);
        for (at, patch, length) in patches {
            let at = at.index(bytes.len());
            for (old, new) in bytes[at..].iter_mut().zip(&patch[..length]) {
                *old ^= new;
            }
        }
        if is_sealed {
            seal_metas(&mut bytes, layout.page_size);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = walk(&bytes);
        let file = specimen::file(&bytes);
        if let Ok(database) = Database::open(&file, bytes.len() as u64) {
            let _ = last_key(&database, b"key");
        }
    }

    #[test]
    fn no_bytes_at_all_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = walk(&bytes);
    }

    #[test]
    fn a_database_that_is_cut_anywhere_is_refused((layout, buckets) in databases(), cut in any::<prop::sample::Index>()) {
        let mut bytes = layout.build(&buckets);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(walk(&bytes).is_err());
    }

    #[test]
    fn every_bit_of_both_metas_counts(bit in 0usize..64 * 8, meta in 0usize..2, shift in 10u32..=16) {
        let layout = Layout { page_size: 1 << shift, ..Layout::ETCD };
        let mut bytes = layout.build(&forty());
        bytes[meta * layout.page_size + PAGE_HEADER + bit / 8] ^= 1 << (bit % 8);
        prop_assert!(walk(&bytes).is_err());
    }
}

/// One bucket, `b`, of the keys k00 to k39.
fn forty() -> Buckets {
    let entries = (0..40)
        .map(|number| (format!("k{number:02}").into_bytes(), b"value".to_vec()))
        .collect();
    Buckets::from([(b"b".to_vec(), entries)])
}

const PAGE: usize = 1024;
const SMALL: Layout = Layout {
    page_size: PAGE,
    fanout: 4,
    inlines: false,
    lists_free: false,
};
/// With [`SMALL`] the pages of [`forty`] are: 0 and 1 meta, 2 free, 3 to 12 leaves of four keys,
/// 13 to 15 branches of four, four and two, 16 the branch above them, 17 the root's leaf.
const LEAF_0: usize = 3;
const BRANCH_0: usize = 13;
const TOP: usize = 16;
const ROOT: usize = 17;

/// The damage that is found in [`forty`] after `bytes` were put at this place of a page; the metas
/// are made to fit.
fn after(page: usize, at: usize, bytes: &[u8]) -> String {
    let mut database = SMALL.build(&forty());
    database[page * PAGE + at..][..bytes.len()].copy_from_slice(bytes);
    seal_metas(&mut database, PAGE);
    damage(&database)
}

/// Where an element's head lies.
const fn head(index: usize) -> usize {
    PAGE_HEADER + index * ELEMENT
}

#[test]
fn the_specimen_is_sound_and_as_described() {
    let bytes = SMALL.build(&forty());
    assert_eq!(bytes.len(), (ROOT + 1) * PAGE);
    assert_eq!(damage(&bytes), "nothing");
    assert_eq!(after(2, 0, b"a free page may hold anything"), "nothing");
}

#[test]
fn a_file_that_is_no_database_is_called_that() {
    let wanted = "the file is not a bbolt database: neither of its two meta pages is valid";
    assert_eq!(damage(b""), wanted);
    assert_eq!(damage(&[0x5A; 10_000]), wanted);
    let mut bytes = SMALL.build(&forty());
    for meta in [0, 1] {
        bytes[meta * PAGE + 40] ^= 1;
    }
    assert_eq!(damage(&bytes), wanted);
}

#[test]
fn a_database_of_a_big_endian_host_is_called_that() {
    let mut bytes = SMALL.build(&forty());
    for meta in [0, 1] {
        bytes[meta * PAGE + PAGE_HEADER..][..4].reverse();
    }
    assert!(damage(&bytes).contains("big-endian host (s390x)"));
}

#[test]
fn one_damaged_meta_is_named() {
    for (meta, at, wanted) in [
        (0, 16, "wrong magic number"),
        (1, 16, "wrong magic number"),
        (1, 20, "unknown format version"),
        (0, 40, "wrong checksum"),
        (1, 72, "wrong checksum"),
    ] {
        let mut bytes = SMALL.build(&forty());
        bytes[meta * PAGE + at] ^= 1;
        assert_eq!(
            damage(&bytes),
            format!("meta page {meta} is damaged: {wanted}")
        );
    }
    let wanted = "its header is not that of a meta page";
    for (meta, at) in [(0, 0), (1, 0), (1, 8)] {
        assert_eq!(
            after(meta, at, &[9]),
            format!("meta page {meta} is damaged: {wanted}")
        );
    }
    assert_eq!(
        after(1, 24, &2048u32.to_le_bytes()),
        "meta page 1 is damaged: the two meta pages name different page sizes"
    );
}

#[test]
fn a_cut_file_says_what_is_missing() {
    let bytes = SMALL.build(&forty());
    let wanted = format!(
        "the file is cut: the database has {} bytes, the file holds {}",
        18 * PAGE,
        17 * PAGE
    );
    assert_eq!(damage(&bytes[..17 * PAGE]), wanted);
    let absurd = u64::MAX.to_le_bytes();
    assert!(
        after(0, 56, &absurd).starts_with("the file is cut: the database has 18446744073709551615")
    );
}

#[test]
fn a_page_that_is_not_what_it_should_be_is_named() {
    assert_eq!(after(LEAF_0, 0, &[9]), "page 3: carries the number 9");
    assert_eq!(
        after(LEAF_0, 8, &[0x10]),
        "page 3: is neither a branch nor a leaf (flags 0x10)"
    );
    assert_eq!(after(LEAF_0, 10, &[0]), "page 3: is an empty leaf");
    assert_eq!(after(TOP, 10, &[0]), "page 16: is an empty branch");
    assert_eq!(
        after(LEAF_0, 12, &100u32.to_le_bytes()),
        "page 3: its 101 pages reach beyond the high-water mark"
    );
    assert_eq!(
        after(LEAF_0, 12, &u32::MAX.to_le_bytes()),
        "page 3: its 4294967296 pages reach beyond the high-water mark"
    );
}

#[test]
fn a_page_that_is_met_twice_is_named() {
    let child = |index: usize| head(index) + 8;
    // a leaf for its neighbour, its overflow over its neighbour, a branch below itself, a meta
    let twice = |page: usize| format!("page {page}: is referenced twice");
    assert_eq!(after(LEAF_0, 12, &[1]), twice(4));
    assert_eq!(after(BRANCH_0, child(1), &[3]), twice(3));
    assert_eq!(after(TOP, child(0), &[16]), twice(16));
    assert_eq!(after(BRANCH_0, child(0), &[16]), twice(16));
    assert_eq!(after(BRANCH_0, child(0), &[0]), twice(0));
    assert_eq!(
        after(BRANCH_0, child(0), &[99]),
        "page 99: lies beyond the high-water mark, page 18"
    );
    assert_eq!(
        after(0, 32, &u64::MAX.to_le_bytes()),
        "page 18446744073709551615: lies beyond the high-water mark, page 18"
    );
}

#[test]
fn keys_out_of_order_or_bounds_are_named() {
    // the four keys of a leaf lie 8 bytes apart: "k00" and "value"
    let key = |index: usize| head(4) + index * 8;
    for (page, at, wanted) in [
        (
            4,
            key(1),
            "page 4: the key of element 1 is below what the parent page promises",
        ),
        (
            4,
            key(0),
            "page 4: the key of element 0 is below what the parent page promises",
        ),
    ] {
        let found = after(page, at, b"k00");
        if page == 4 && at == key(1) {
            assert_eq!(
                found,
                "page 4: the key of element 1 is not above the one before it"
            );
        } else {
            assert_eq!(found, wanted);
        }
    }
    assert_eq!(
        after(4, key(3), b"k08"),
        "page 4: the key of element 3 is not below the parent page's next key"
    );
    assert_eq!(
        after(4, key(2), b"k07"),
        "page 4: the key of element 3 is not above the one before it"
    );
    // the last leaf below the first branch is held to the branch's own neighbour
    assert_eq!(
        after(6, key(3), b"k16"),
        "page 6: the key of element 3 is not below the parent page's next key"
    );
    assert_eq!(
        after(BRANCH_0, head(4) + 3, b"k00"),
        "page 13: the key of element 1 is not above the one before it"
    );
    assert_eq!(
        after(LEAF_0, head(0) + 8, &[0, 0, 0, 0]),
        "page 3: the key of element 0 is empty"
    );
    let mut pages = Pages::new(Layout::ETCD);
    let root = pages.tree(vec![Element::entry(&vec![7; 32_769], b"")]);
    let root = pages.tree(vec![Element::bucket(b"b", &bucket_header(root))]);
    assert_eq!(
        damage(&pages.finish(root)),
        "page 3: the key of element 0 is longer than the format allows"
    );
}

#[test]
fn an_element_outside_its_page_is_named() {
    let wanted = |page: usize, index: usize| {
        format!("page {page}: its element {index} reaches beyond the page")
    };
    for size in [2000u32, u32::MAX] {
        let size = size.to_le_bytes();
        for field in [4, 8, 12] {
            assert_eq!(after(LEAF_0, head(2) + field, &size), wanted(3, 2));
        }
        for field in [0, 4] {
            assert_eq!(after(TOP, head(1) + field, &size), wanted(16, 1));
        }
    }
    // more elements than the page has room for: the first key lies among their heads
    let count = 1000u16.to_le_bytes();
    for page in [LEAF_0, TOP] {
        assert_eq!(
            after(page, 10, &count),
            format!("page {page}: its element 0 lies over another")
        );
    }
}

#[test]
fn elements_that_share_their_bytes_are_named() {
    // a value that reaches over the next entry, and a key that lies where an earlier one does
    assert_eq!(
        after(LEAF_0, head(0) + 12, &[6]),
        "page 3: its element 1 lies over another"
    );
    assert_eq!(
        after(TOP, head(1), &[8]),
        "page 16: its element 1 lies over another"
    );
}

/// Without that rule this database of 4 MiB would be read as 65,000 values of 2 MiB each.
#[test]
fn a_small_file_cannot_claim_to_hold_a_hundred_gigabytes() {
    const COUNT: u32 = 65_000;
    const VALUE: u32 = 2 << 20;
    let mut content = Vec::new();
    for index in 0..COUNT {
        // the key of an element is the one before it and a byte more
        let pos = (COUNT - index) * 16;
        for word in [0, pos, 1 + index / 2, VALUE] {
            content.extend(word.to_le_bytes());
        }
    }
    content.resize(content.len() + (VALUE + COUNT) as usize, 1);
    let mut pages = Pages::new(SMALL);
    let root = pages.push(LEAF, COUNT as usize, &content);
    let root = pages.tree(vec![Element::bucket(b"b", &bucket_header(root))]);
    assert_eq!(
        damage(&pages.finish(root)),
        "page 3: its element 1 lies over another"
    );
}

#[test]
fn a_bucket_that_is_not_one_is_named() {
    let root_of = |elements: Vec<Element>| {
        let mut pages = Pages::new(SMALL);
        let root = pages.tree(elements);
        damage(&pages.finish(root))
    };
    assert_eq!(
        root_of(vec![Element::entry(b"b", b"v")]),
        "page 3: the root holds an entry that is not a bucket"
    );
    assert_eq!(
        root_of(vec![Element::bucket(b"b", b"short")]),
        "bucket \"b\": its header is too short"
    );
    assert_eq!(
        root_of(vec![Element::bucket(b"b", &bucket_header(0))]),
        "bucket \"b\": its inline page is not a leaf"
    );
    let mut header = inline(&[Element::entry(b"k", b"v")]);
    header.truncate(header.len() - 1);
    assert_eq!(
        root_of(vec![Element::bucket(b"b", &header)]),
        "page 0: its element 0 reaches beyond the page"
    );
    assert_eq!(
        after(ROOT, head(0) + 16 + 1, &[3]),
        "nothing",
        "a bucket may begin at any page"
    );
}

#[test]
fn buckets_in_buckets_are_walked_but_not_shown() {
    let innermost = inline(&[Element::entry(b"deep", b"x")]);
    let mut pages = Pages::new(SMALL);
    let elements = vec![
        Element::entry(b"a", b"1"),
        Element::bucket(b"b", &innermost),
    ];
    let root = pages.tree(vec![Element::bucket(b"outer", &inline(&elements))]);
    let seen = walk(&pages.finish(root)).unwrap().0;
    let entries = vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())];
    assert_eq!(seen, [(b"outer".to_vec(), entries)]);

    let nested = |depth: usize| {
        let header = (0..depth).fold(inline(&[]), |header, _| {
            inline(&[Element::bucket(b"b", &header)])
        });
        let mut pages = Pages::new(SMALL);
        let root = pages.tree(vec![Element::bucket(b"b", &header)]);
        damage(&pages.finish(root))
    };
    assert_eq!(nested(30), "nothing");
    assert_eq!(nested(40), "bucket \"b\": buckets are nested too deeply");
}

#[test]
fn a_tree_that_is_too_deep_is_named() {
    let chain = |branches: usize| {
        let mut pages = Pages::new(SMALL);
        let leaf = vec![Element::entry(b"k", b"v")];
        let leaf = pages.push(LEAF, 1, &leaf_content(&leaf));
        let top = (0..branches).fold(leaf, |child, _| {
            pages.push(BRANCH, 1, &branch_content(&[(b"k".to_vec(), child)]))
        });
        let root = pages.tree(vec![Element::bucket(b"b", &bucket_header(top))]);
        pages.finish(root)
    };
    assert_eq!(damage(&chain(32)), "nothing");
    assert_eq!(
        damage(&chain(33)),
        "page 4: lies too deep for a tree of this format"
    );
    let bytes = chain(33);
    let file = specimen::file(&bytes);
    let database = Database::open(&file, bytes.len() as u64).unwrap();
    assert!(last_key(&database, b"b").is_err());
}

#[test]
fn a_list_of_free_pages_is_held_to_its_word() {
    let layout = Layout {
        lists_free: true,
        ..SMALL
    };
    // the list is page 3 and names page 2; all others stand one further than without it
    let after = |at: usize, with: &[u8]| {
        let mut bytes = layout.build(&forty());
        bytes[3 * PAGE + at..][..with.len()].copy_from_slice(with);
        damage(&bytes)
    };
    assert_eq!(after(0, &[3]), "nothing");
    assert_eq!(
        after(8, &[2]),
        "page 3: is not the list of free pages (flags 0x2)"
    );
    assert_eq!(after(16, &[4]), "page 4: is referenced twice");
    assert_eq!(after(16, &[1]), "page 1: is referenced twice");
    assert_eq!(after(16, &[3]), "page 3: is referenced twice");
    assert_eq!(
        after(16, &[200]),
        "page 200: lies beyond the high-water mark"
    );
    assert_eq!(
        after(16, &[0xFF; 8]),
        format!("page {}: lies beyond the high-water mark", u64::MAX)
    );
    // a count of 0xFFFF means that the real one comes first
    let long = [&1u64.to_le_bytes()[..], &2u64.to_le_bytes()].concat();
    let counted = |count: u64| {
        let mut bytes = layout.build(&forty());
        let list = 3 * PAGE;
        bytes[list + 10..list + 12].copy_from_slice(&[0xFF; 2]);
        bytes[list + 16..list + 32].copy_from_slice(&long);
        bytes[list + 16..list + 24].copy_from_slice(&count.to_le_bytes());
        damage(&bytes)
    };
    assert_eq!(counted(1), "nothing");
    assert_eq!(counted(2), "page 0: is referenced twice");
}
