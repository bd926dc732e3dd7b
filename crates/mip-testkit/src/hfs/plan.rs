//! From the description to records, extents and trees.

use std::collections::{BTreeMap, HashMap};

use super::btree::{self, Record, RecordPlace, Shape, Tree};
use super::layout::{Layout, Owner, TreeLayout};
use super::records::{self, Counts, Extent, Head};
use super::{Content, Entry, Kind, Volume, compare, stored};

const ROOT: u32 = 2;
const EXTENTS: u32 = 3;
const CATALOG: u32 = 4;
const ATTRIBUTES: u32 = 8;
/// The first id of a user's file.
const FIRST: u32 = 16;

/// The folder of hard-linked files, at the root.
const FILE_LINKS: &str = "\0\0\0\0HFS+ Private Data";
/// The folder of hard-linked folders.
const FOLDER_LINKS: &str = ".HFS+ Private Directory Data\r";

/// Which fork of which file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum ForkId {
    Journal(bool),
    Tree(u32),
    Data(u32),
    Resource(u32),
    Attribute(u32, String),
}

struct Fork {
    id: ForkId,
    content: Content,
    pieces: u32,
    extra: u32,
}

/// A record in the catalog.
struct Item {
    entry: Entry,
    id: u32,
    parent: u32,
    name: Vec<u16>,
    folder: bool,
    head: Head,
    /// Data and resource fork; hard links have none.
    forks: bool,
    owner: Option<Owner>,
    /// The journal info block (false) or the journal (true).
    journal: Option<bool>,
}

/// Bytes to be written at an offset.
pub(super) struct Segment {
    pub(super) at: u64,
    pub(super) content: Content,
    /// Range of the content.
    pub(super) from: u64,
    pub(super) len: u64,
}

pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) segments: Vec<Segment>,
}

/// Where each fork lies.
type Places = BTreeMap<ForkId, Vec<Extent>>;

impl Plan {
    pub(super) fn new(volume: &Volume) -> Self {
        let mut ids = HashMap::new();
        let (items, next_id) = items(volume, &mut ids);
        let forks = forks(volume, &items);
        let journal = forks.iter().any(|f| matches!(f.id, ForkId::Journal(_)));

        // Sizes of the trees do not depend on where forks lie, only on the number of pieces.
        let bs = u64::from(volume.block_size);
        let blocks_of = |len: u64| u32::try_from(len.div_ceil(bs)).unwrap();
        let mut places = Places::new();
        for f in &forks {
            let blocks = blocks_of(f.content.len()) + f.extra;
            places.insert(f.id.clone(), pieces(0, blocks, f.pieces, 1).0);
        }
        let drafts = trees(volume, &items, &forks, &places, None);
        let tree_unit = |i: usize| (volume.node_size[i] as u64).div_ceil(bs) as u32;
        let sizes: Vec<u32> = drafts.iter().map(|t| blocks_of(t.0.bytes.len() as u64)).collect();

        // Blocks in order: boot and header, bitmap, journal, trees, forks, free, alternate header.
        let start = blocks_of(1536);
        let end = blocks_of(1024);
        let mut bitmap = 1;
        let (total, mut cursor) = loop {
            let mut at = start + bitmap;
            for f in forks.iter().filter(|f| matches!(f.id, ForkId::Journal(_))) {
                at = put(&mut places, &f.id, at, blocks_of(f.content.len()), 1, 1);
            }
            let tree_pieces = [1, volume.tree_pieces[0], volume.tree_pieces[1]];
            for (i, id) in [EXTENTS, CATALOG, ATTRIBUTES].into_iter().enumerate() {
                at =
                    put(&mut places, &ForkId::Tree(id), at, sizes[i], tree_pieces[i], tree_unit(i));
            }
            for f in forks.iter().filter(|f| !matches!(f.id, ForkId::Journal(_))) {
                let blocks = blocks_of(f.content.len()) + f.extra;
                at = put(&mut places, &f.id, at, blocks, f.pieces, 1);
            }
            let total = at + volume.free_blocks + end;
            if bitmap >= blocks_of(u64::from(total).div_ceil(8)) {
                break (total, at);
            }
            bitmap += 1;
        };
        cursor = cursor.min(total - end);

        let bitmap_place = (start, bitmap);
        let mut used = vec![0u8; (u64::from(bitmap) * bs) as usize];
        let mut busy = 0;
        let fixed = [(0, start), bitmap_place, (total - end, end)];
        for &(from, n) in fixed.iter().chain(places.values().flatten()) {
            for b in from..from + n {
                assert!(used[b as usize / 8] & (0x80 >> (b % 8)) == 0, "block {b} twice");
                used[b as usize / 8] |= 0x80 >> (b % 8);
                busy += 1;
            }
        }

        let finished = trees(volume, &items, &forks, &places, Some(&sizes));
        let counts = Counts {
            files: items.iter().filter(|i| !i.folder).count() as u32,
            folders: items.iter().filter(|i| i.folder && i.id != ROOT).count() as u32,
            block_size: volume.block_size,
            total,
            free: total - busy,
            next_block: cursor,
            next_id,
            journal_block: journal.then(|| places[&ForkId::Journal(false)][0].0),
            case_sensitive: volume.case_sensitive,
            created: volume.entries[0].dates.0,
        };
        let fork = |id: u32, len: usize| records::fork(len as u64, &places[&ForkId::Tree(id)]);
        let header = records::volume_header(
            &counts,
            [
                records::fork(used.len() as u64, &[bitmap_place]),
                fork(EXTENTS, finished[0].0.bytes.len()),
                fork(CATALOG, finished[1].0.bytes.len()),
                fork(ATTRIBUTES, finished[2].0.bytes.len()),
                records::fork(0, &[]),
            ],
        );
        let mut layout = Layout {
            block_size: volume.block_size,
            total_blocks: total,
            bitmap: (u64::from(start) * bs, u64::from(bitmap) * bs),
            ids,
            ..Layout::default()
        };
        let bytes = |e: &Extent| (u64::from(e.0) * bs, u64::from(e.1) * bs);
        if journal {
            let at = |second| bytes(&places[&ForkId::Journal(second)][0]).0;
            layout.journal = Some((at(false), at(true)));
        }
        let mut segments = vec![segment(1024, Content::new(header.clone()))];
        segments.push(segment(u64::from(start) * bs, Content::new(used)));
        segments.push(segment(layout.size() - 1024, Content::new(header)));
        for (id, e) in &places {
            let extents: Vec<_> = e.iter().map(bytes).collect();
            match id {
                ForkId::Data(id) => layout.forks.insert((*id, false), extents),
                ForkId::Resource(id) => layout.forks.insert((*id, true), extents),
                _ => None,
            };
        }
        for (i, (tree, owners)) in finished.into_iter().enumerate() {
            let id = ForkId::Tree([EXTENTS, CATALOG, ATTRIBUTES][i]);
            let extents = places[&id].iter().map(bytes).collect();
            let placed = place_tree(&tree, extents, volume.node_size[i] as u64);
            for (owner, place) in owners.into_iter().zip(&placed.records) {
                if let Some(owner) = owner {
                    layout.owners.insert(owner, place.clone());
                }
            }
            lay(&mut segments, &Content::new(tree.bytes), &places[&id], bs);
            *[&mut layout.extents, &mut layout.catalog, &mut layout.attributes][i] = placed;
        }
        for f in &forks {
            let content = match &f.id {
                ForkId::Journal(false) => {
                    let at = layout.journal.unwrap().1;
                    Content::new(records::journal_info(at, journal_size(volume)))
                }
                _ => f.content.clone(),
            };
            lay(&mut segments, &content, &places[&f.id], bs);
        }
        segments.retain(|s| s.len > 0);
        segments.sort_by_key(|s| s.at);
        Self { layout, segments }
    }
}

fn segment(at: u64, content: Content) -> Segment {
    Segment { at, from: 0, len: content.len(), content }
}

fn journal_size(volume: &Volume) -> u64 {
    u64::from(volume.journal.unwrap_or(0).next_multiple_of(volume.block_size))
}

/// Extents for `blocks` from `at` on, in `n` pieces of whole `unit`s; and the next free block.
/// Pieces lie in reverse order with one block between.
fn pieces(at: u32, blocks: u32, n: u32, unit: u32) -> (Vec<Extent>, u32) {
    let units = blocks.div_ceil(unit);
    let n = n.max(1).min(units);
    if n == 0 {
        return (Vec::new(), at);
    }
    let mut out = Vec::new();
    let mut next = at;
    for i in 0..n {
        // The last piece of the file comes first on the disk, and is what the others leave.
        let from = units / n * (n - 1 - i) + (units % n).min(n - 1 - i);
        let to = units / n * (n - i) + (units % n).min(n - i);
        let count = (to * unit).min(blocks) - from * unit;
        out.push((next, count));
        next += count + u32::from(i + 1 < n);
    }
    out.reverse();
    (out, next)
}

fn put(places: &mut Places, id: &ForkId, at: u32, blocks: u32, n: u32, unit: u32) -> u32 {
    let (extents, next) = pieces(at, blocks, n, unit);
    places.insert(id.clone(), extents);
    next
}

fn lay(out: &mut Vec<Segment>, content: &Content, extents: &[Extent], bs: u64) {
    assert!(
        extents.len() < 2 || matches!(content, Content::Bytes(_)),
        "a streamed file cannot be fragmented"
    );
    let mut from = 0;
    for &(start, count) in extents {
        let len = (u64::from(count) * bs).min(content.len() - from);
        out.push(Segment { at: u64::from(start) * bs, content: content.clone(), from, len });
        from += len;
    }
}

fn place_tree(tree: &Tree, extents: Vec<(u64, u64)>, node_size: u64) -> TreeLayout {
    let mut out = TreeLayout { extents, node_size, ..TreeLayout::default() };
    let mut nodes = tree.nodes.clone();
    for node in &mut nodes {
        let shift = |at: u64, base: u64, to: u64| at - base + to;
        let (base, to) = (node.offset, out.offset(node.offset));
        node.offset = to;
        for r in &mut node.records {
            *r = RecordPlace {
                key: shift(r.key, base, to),
                data: shift(r.data, base, to),
                end: shift(r.end, base, to),
            };
        }
    }
    out.records = tree.leaves.iter().map(|&(n, r)| nodes[n].records[r].clone()).collect();
    out.nodes = nodes;
    out
}

/// Every file and folder record, in no order, and the next free id.
fn items(volume: &Volume, ids: &mut HashMap<String, u32>) -> (Vec<Item>, u32) {
    let mut next = FIRST;
    let mut new_id = || {
        next += 1;
        next - 1
    };
    let mut links: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, e) in volume.entries.iter().enumerate() {
        match &e.kind {
            Kind::HardLink(to) => links.entry(volume.at(to)).or_default().push(i),
            _ => {
                ids.insert(e.path.clone(), if i == 0 { ROOT } else { new_id() });
            }
        }
    }
    let mut out = Vec::new();
    let parent = |path: &str, ids: &HashMap<String, u32>| {
        ids[path.rsplit_once('/').map_or("", |(above, _)| above)]
    };
    let name = |e: &Entry| {
        let last = e.path.rsplit('/').next().unwrap_or_default();
        e.stored_name.clone().unwrap_or_else(|| stored(last))
    };
    let blank = |path: &str, kind, mode| Entry { owner: (0, 0), ..Entry::new(path, kind, mode) };

    // The private folders, when something is hard-linked.
    let mut private = HashMap::new();
    for (folders, path) in [(false, FILE_LINKS), (true, FOLDER_LINKS)] {
        if links.keys().any(|&t| (volume.entries[t].kind == Kind::Folder) == folders) {
            let mut entry = blank(path, Kind::Folder, 0o040_755);
            entry.finder[8..16].copy_from_slice(&[0x50, 0, 0x57, 0xbc, 0x57, 0xbc, 0, 0]);
            let id = new_id();
            private.insert(folders, id);
            let units = path.encode_utf16().collect();
            out.push(Item::new(entry, id, ROOT, units, true));
        }
    }
    for (i, e) in volume.entries.iter().enumerate() {
        if matches!(e.kind, Kind::HardLink(_)) {
            continue;
        }
        let id = ids[&e.path];
        let folder = e.kind == Kind::Folder;
        let (above, units) =
            if i == 0 { (1, stored(&volume.name)) } else { (parent(&e.path, ids), name(e)) };
        let mut item = Item::new(e.clone(), id, above, units, folder);
        item.owner = Some(Owner::Path(e.path.clone()));
        if let Kind::Special(device) = e.kind {
            item.head.special = device;
        }
        let Some(others) = links.get(&i) else {
            out.push(item);
            continue;
        };
        // The file itself moves to the private folder; links take its place and the others.
        let names: Vec<&Entry> =
            std::iter::once(e).chain(others.iter().map(|&l| &volume.entries[l])).collect();
        let link_ids: Vec<u32> = names.iter().map(|_| new_id()).collect();
        item.parent = private[&folder];
        item.name =
            format!("{}{id}", if folder { "dir_" } else { "iNode" }).encode_utf16().collect();
        item.head.special = names.len() as u32;
        item.head.flags |= records::HAS_LINK_CHAIN;
        item.owner = Some(Owner::Inode(e.path.clone()));
        if folder {
            item.entry.xattrs.push(super::Xattr {
                name: "com.apple.system.hfs.firstlink".to_owned(),
                content: Content::new(format!("{}\0", link_ids[0])),
                fork: false,
                pieces: 1,
            });
        } else {
            item.head.second = link_ids[0];
        }
        out.push(item);
        for (n, link) in names.iter().enumerate() {
            let mut entry = blank(&link.path, Kind::File, 0o100_444);
            entry.flags = 0x02; // immutable
            entry.dates = (volume.entries[0].dates.0, link.dates.1);
            let near = |i: Option<usize>| i.and_then(|i| link_ids.get(i)).copied().unwrap_or(0);
            entry.owner = (near(n.checked_sub(1)), near(Some(n + 1)));
            let (mark, flags) =
                if folder { (b"fdrpMACS", [0x80, 0]) } else { (b"hlnkhfs+", [1, 0]) };
            entry.finder[..8].copy_from_slice(mark);
            entry.finder[8..10].copy_from_slice(&flags);
            let above = parent(&link.path, ids);
            let mut item = Item::new(entry, link_ids[n], above, name(link), false);
            item.head.flags |= records::HAS_LINK_CHAIN;
            item.head.special = id;
            item.forks = false;
            item.owner = Some(Owner::Path(link.path.clone()));
            out.push(item);
            ids.insert(link.path.clone(), id);
        }
    }
    if volume.journal.is_some() {
        for (second, path) in [(false, ".journal_info_block"), (true, ".journal")] {
            let mut entry = blank(path, Kind::File, 0o100_000);
            entry.finder[..10].copy_from_slice(b"jrnlhfs+\x50\0");
            let id = new_id();
            let mut item = Item::new(entry, id, ROOT, stored(path), false);
            item.owner = Some(Owner::Path(path.to_owned()));
            ids.insert(path.to_owned(), id);
            item.journal = Some(second);
            out.push(item);
        }
    }
    count(volume, &mut out);
    (out, next)
}

impl Item {
    fn new(entry: Entry, id: u32, parent: u32, name: Vec<u16>, folder: bool) -> Self {
        let mut head = Head { id, ..Head::default() };
        if !folder {
            head.flags = records::HAS_THREAD;
        }
        Self { entry, id, parent, name, folder, head, forks: !folder, owner: None, journal: None }
    }
}

/// Fills in valence, folder counts and the flags that depend on others.
fn count(volume: &Volume, items: &mut [Item]) {
    let mut children: HashMap<u32, (u32, u32)> = HashMap::new();
    let mut above: HashMap<u32, u32> = HashMap::new();
    let mut with_links = Vec::new();
    for item in items.iter() {
        let folder_link = item.entry.finder.starts_with(b"fdrpMACS") && !item.forks;
        let n = children.entry(item.parent).or_default();
        n.0 += 1;
        n.1 += u32::from(item.folder || folder_link);
        above.insert(item.id, item.parent);
        if folder_link {
            with_links.push(item.parent);
        }
    }
    let mut marked = std::collections::HashSet::new();
    while let Some(id) = with_links.pop() {
        if id > 1 && marked.insert(id) {
            with_links.extend(above.get(&id));
        }
    }
    for item in items {
        if item.folder {
            let (all, folders) = children.get(&item.id).copied().unwrap_or_default();
            item.head.second = all;
            if volume.case_sensitive {
                item.head.flags |= records::HAS_FOLDER_COUNT;
                item.head.last = folders;
            }
            if marked.contains(&item.id) {
                item.head.flags |= records::HAS_CHILD_LINK;
            }
        }
        if !item.entry.xattrs.is_empty() {
            item.head.flags |= records::HAS_ATTRIBUTES;
        }
        if item.entry.xattrs.iter().any(|x| x.name == "com.apple.system.Security") {
            item.head.flags |= records::HAS_SECURITY;
        }
    }
}

fn forks(volume: &Volume, items: &[Item]) -> Vec<Fork> {
    let mut out = Vec::new();
    if volume.journal.is_some() {
        let block = vec![0; volume.block_size as usize];
        out.push(Fork {
            id: ForkId::Journal(false),
            content: Content::new(block),
            pieces: 1,
            extra: 0,
        });
        let mut journal = records::journal_header(journal_size(volume));
        journal.resize(journal_size(volume) as usize, 0);
        out.push(Fork {
            id: ForkId::Journal(true),
            content: Content::new(journal),
            pieces: 1,
            extra: 0,
        });
    }
    for item in items.iter().filter(|i| i.journal.is_none()) {
        let e = &item.entry;
        if item.forks {
            let (pieces, content) = (e.pieces.0, e.data.clone());
            out.push(Fork { id: ForkId::Data(item.id), content, pieces, extra: e.extra });
            let (pieces, content) = (e.pieces.1, e.resource.clone());
            out.push(Fork { id: ForkId::Resource(item.id), content, pieces, extra: 0 });
        }
        for x in e.xattrs.iter().filter(|x| x.fork) {
            let id = ForkId::Attribute(item.id, x.name.clone());
            out.push(Fork { id, content: x.content.clone(), pieces: x.pieces, extra: 0 });
        }
    }
    out
}

/// A key to sort by, the record, and whose it is.
type Keyed<K> = Vec<(K, Record, Option<Owner>)>;

/// Extents, catalog and attributes trees, with the owners of their records in order. `blocks`
/// are the trees' sizes; without them the special files' own overflow records are estimated.
fn trees(
    volume: &Volume,
    items: &[Item],
    forks: &[Fork],
    places: &Places,
    blocks: Option<&[u32]>,
) -> Vec<(Tree, Vec<Option<Owner>>)> {
    let empty = Vec::new();
    let extents_of = |id: &ForkId| places.get(id).unwrap_or(&empty);

    let mut catalog: Keyed<(u32, Vec<u16>)> = Vec::new();
    let mut attributes: Keyed<(u32, Vec<u16>, u32)> = Vec::new();
    for item in items {
        let mut data = records::head(&item.entry, item.folder, item.head);
        if let Some(second) = item.journal {
            let size = if second { journal_size(volume) } else { u64::from(volume.block_size) };
            data.extend(records::fork(size, extents_of(&ForkId::Journal(second))));
            data.extend(records::fork(0, &[]));
        } else if !item.folder {
            let (d, r) = (&item.entry.data, &item.entry.resource);
            data.extend(records::fork(d.len(), extents_of(&ForkId::Data(item.id))));
            data.extend(records::fork(r.len(), extents_of(&ForkId::Resource(item.id))));
        }
        let key = records::catalog_key(item.parent, &item.name);
        catalog.push(((item.parent, item.name.clone()), Record { key, data }, item.owner.clone()));
        let record = Record {
            key: records::catalog_key(item.id, &[]),
            data: records::thread(item.folder, item.parent, &item.name),
        };
        catalog.push(((item.id, Vec::new()), record, Some(Owner::Thread(item.id))));

        for x in &item.entry.xattrs {
            let units: Vec<u16> = x.name.encode_utf16().collect();
            let owner = Some(Owner::Attribute(item.id, x.name.clone()));
            let key = records::attribute_key(item.id, &units, 0);
            let extents = extents_of(&ForkId::Attribute(item.id, x.name.clone()));
            let data = match (&x.content, x.fork) {
                (Content::Bytes(b), false) => records::attribute_inline(b),
                (c, _) => records::attribute_fork(c.len(), extents),
            };
            attributes.push(((item.id, units.clone(), 0), Record { key, data }, owner));
            for (block, group) in overflow(extents) {
                let key = records::attribute_key(item.id, &units, block);
                let data = records::attribute_extents(group);
                attributes.push(((item.id, units.clone(), block), Record { key, data }, None));
            }
        }
    }
    catalog.sort_by(|(a, ..), (b, ..)| {
        a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1, volume.case_sensitive))
    });
    attributes.sort_by(|(a, ..), (b, ..)| a.cmp(b));

    let shape = |i: usize, max_key, attributes, compare| Shape {
        node_size: volume.node_size[i],
        max_key,
        attributes,
        compare,
        spare: volume.spare_nodes,
        granule: volume.node_size[i].max(volume.block_size as usize),
    };
    let compare = match volume.case_sensitive {
        true => 0xbc,
        false => 0xcf,
    };
    let catalog = finish(catalog, shape(1, 516, 6, compare));
    let attributes = match attributes.is_empty() {
        true => (Tree::default(), Vec::new()),
        false => finish(attributes, shape(2, 266, 6, 0)),
    };

    let mut extents: Keyed<(u32, bool, u32)> = Vec::new();
    let mut add = |id: u32, resource: bool, place: &[Extent]| {
        for (n, (block, group)) in overflow(place).into_iter().enumerate() {
            let key = records::extents_key(id, resource, block);
            let data = records::eight(group);
            let owner = Some(Owner::Extents(id, resource, n));
            extents.push(((id, resource, block), Record { key, data }, owner));
        }
    };
    for f in forks {
        match f.id {
            ForkId::Data(id) => add(id, false, extents_of(&f.id)),
            ForkId::Resource(id) => add(id, true, extents_of(&f.id)),
            _ => {}
        }
    }
    for (i, id, tree) in [(1, CATALOG, &catalog), (2, ATTRIBUTES, &attributes)] {
        let bs = volume.block_size as usize;
        let (n, unit) = (volume.tree_pieces[i - 1], volume.node_size[i].div_ceil(bs) as u32);
        match blocks {
            Some(_) => add(id, false, extents_of(&ForkId::Tree(id))),
            None => add(id, false, &pieces(0, tree.0.bytes.len().div_ceil(bs) as u32, n, unit).0),
        }
    }
    extents.sort_by_key(|(key, ..)| *key);
    let extents = finish(extents, shape(0, 10, 2, 0));
    vec![extents, catalog, attributes]
}

/// Extents behind the first eight, in groups of eight with their first block within the fork.
fn overflow(extents: &[Extent]) -> Vec<(u32, &[Extent])> {
    let mut block = 0;
    let mut out = Vec::new();
    for group in extents.chunks(8) {
        if block > 0 {
            out.push((block, group));
        }
        block += group.iter().map(|e| e.1).sum::<u32>();
    }
    out
}

fn finish<K>(keyed: Keyed<K>, shape: Shape) -> (Tree, Vec<Option<Owner>>) {
    let (records, owners) = keyed.into_iter().map(|(_, r, o)| (r, o)).unzip();
    (btree::build(records, shape), owners)
}
