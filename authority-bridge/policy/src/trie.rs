//! Reading Merkle Patricia tries node by node (Ethereum Yellow Paper, appendix D). Nodes come as RLP and are never trusted
//! to be well-formed; what is not a node of a trie with 32-byte keys is refused.

use alloy_primitives::B256;
use alloy_rlp::Header;

/// Nibbles of a key.
const DEPTH: usize = 64;

/// Why a lookup has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The node with this hash is not at hand.
    Unknown(B256),
    /// These bytes are no node of such a trie.
    Malformed,
}

/// What a node points to. A node shorter than 32 bytes stands in its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child<'a> {
    Empty,
    Hash(B256),
    Inline(&'a [u8]),
}

impl Child<'_> {
    /// The root of a trie.
    pub(crate) fn root(hash: B256) -> Self {
        if hash == alloy_trie::EMPTY_ROOT_HASH {
            Self::Empty
        } else {
            Self::Hash(hash)
        }
    }
}

/// One node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'a> {
    Branch(Branch<'a>),
    Extension { path: Path<'a>, child: Child<'a> },
    Leaf { path: Path<'a>, value: &'a [u8] },
}

/// The seventeen items of a branch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch<'a>(&'a [u8]);

/// Nibbles in hex-prefix encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    bytes: &'a [u8],
    odd: bool,
}

impl<'a> Node<'a> {
    /// Reads a node.
    pub(crate) fn read(rlp: &'a [u8]) -> Result<Self, Broken> {
        let mut items = rlp;
        let header = Header::decode(&mut items).map_err(|_| Broken::Malformed)?;
        if !header.list || header.payload_length != items.len() {
            return Err(Broken::Malformed);
        }
        let (first, rest) = Item::take(items)?;
        let (second, rest) = Item::take(rest)?;
        if !rest.is_empty() {
            return Ok(Self::Branch(Branch(items)));
        }
        let (leaf, path) = Path::read(first)?;
        Ok(match leaf {
            true if second.list => return Err(Broken::Malformed),
            true => Self::Leaf {
                path,
                value: second.payload,
            },
            false => Self::Extension {
                path,
                child: second.child()?,
            },
        })
    }
}

impl<'a> Branch<'a> {
    /// The child at a nibble.
    pub(crate) fn child(self, nibble: u8) -> Result<Child<'a>, Broken> {
        let mut rest = self.0;
        for _ in 0..nibble {
            rest = Item::take(rest)?.1;
        }
        Item::take(rest)?.0.child()
    }

    /// All sixteen.
    pub(crate) fn children(self) -> Result<[Child<'a>; 16], Broken> {
        let mut rest = self.0;
        let mut children = [Child::Empty; 16];
        for child in &mut children {
            let (item, after) = Item::take(rest)?;
            (*child, rest) = (item.child()?, after);
        }
        Ok(children)
    }
}

/// One RLP item.
#[derive(Clone, Copy)]
struct Item<'a> {
    list: bool,
    whole: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Item<'a> {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Broken> {
        let mut rest = bytes;
        let header = Header::decode(&mut rest).map_err(|_| Broken::Malformed)?;
        let (payload, after) = rest
            .split_at_checked(header.payload_length)
            .ok_or(Broken::Malformed)?;
        let (whole, _) = bytes
            .split_at_checked(bytes.len() - after.len())
            .ok_or(Broken::Malformed)?;
        let list = header.list;
        Ok((Self { list, whole, payload }, after))
    }

    fn child(self) -> Result<Child<'a>, Broken> {
        match (self.list, self.payload.len()) {
            (true, _) if self.whole.len() < 32 => Ok(Child::Inline(self.whole)),
            (false, 0) => Ok(Child::Empty),
            (false, 32) => Ok(Child::Hash(B256::from_slice(self.payload))),
            _ => Err(Broken::Malformed),
        }
    }
}

impl<'a> Path<'a> {
    /// Whether it is a leaf's, and the path.
    fn read(item: Item<'a>) -> Result<(bool, Self), Broken> {
        let flag = item.payload.first().map(|first| first >> 4);
        let (leaf, odd) = match flag {
            Some(flag @ 0..=3) if !item.list => (flag & 2 != 0, flag & 1 != 0),
            _ => return Err(Broken::Malformed),
        };
        let path = Self {
            bytes: item.payload,
            odd,
        };
        // An extension without nibbles would let a path go nowhere for ever.
        if path.len() > DEPTH || (!leaf && path.len() == 0) {
            return Err(Broken::Malformed);
        }
        Ok((leaf, path))
    }

    /// Number of nibbles.
    pub(crate) fn len(self) -> usize {
        self.bytes.len() * 2 - if self.odd { 1 } else { 2 }
    }

    fn nibble(self, index: usize) -> u8 {
        let at = index + if self.odd { 1 } else { 2 };
        half(self.bytes, at)
    }

    /// The nibbles.
    pub(crate) fn nibbles(self) -> impl Iterator<Item = u8> + 'a {
        (0..self.len()).map(move |index| self.nibble(index))
    }

    fn leads(self, key: &B256, depth: usize) -> bool {
        depth + self.len() <= DEPTH
            && self
                .nibbles()
                .enumerate()
                .all(|(index, nibble)| nibble == half(key.as_slice(), depth + index))
    }
}

fn half(bytes: &[u8], index: usize) -> u8 {
    let byte = bytes.get(index / 2).copied().unwrap_or_default();
    if index.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    }
}

/// Looks `key` up from `root`: the value of its leaf, or `None` when the trie has none. `node` gives the bytes of a hash;
/// `met` is told of each node on the way.
pub(crate) fn find<'a>(
    root: B256,
    key: &B256,
    node: impl Fn(&B256) -> Option<&'a [u8]>,
    mut met: impl FnMut(B256, &'a [u8]),
) -> Result<Option<&'a [u8]>, Broken> {
    let (mut at, mut depth) = (Child::root(root), 0);
    loop {
        let rlp = match at {
            Child::Empty => return Ok(None),
            Child::Inline(rlp) => rlp,
            Child::Hash(hash) => {
                let rlp = node(&hash).ok_or(Broken::Unknown(hash))?;
                met(hash, rlp);
                rlp
            }
        };
        match Node::read(rlp)? {
            Node::Branch(_) if depth == DEPTH => return Err(Broken::Malformed),
            Node::Branch(branch) => {
                at = branch.child(half(key.as_slice(), depth))?;
                depth += 1;
            }
            Node::Extension { path, child } if path.leads(key, depth) => {
                at = child;
                depth += path.len();
            }
            Node::Leaf { path, value } if path.leads(key, depth) && depth + path.len() == DEPTH => {
                return Ok(Some(value));
            }
            Node::Extension { .. } | Node::Leaf { .. } => return Ok(None),
        }
    }
}

/// The first nibbles of some keys.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Prefix {
    nibbles: B256,
    len: usize,
}

impl Prefix {
    /// One nibble longer; `None` beyond a key's length.
    pub(crate) fn then(mut self, nibble: u8) -> Option<Self> {
        let byte = self.nibbles.0.get_mut(self.len / 2)?;
        *byte |= if self.len.is_multiple_of(2) {
            nibble << 4
        } else {
            nibble
        };
        self.len += 1;
        Some(self)
    }

    /// Longer by a path.
    pub(crate) fn along(self, path: Path<'_>) -> Option<Self> {
        path.nibbles().try_fold(self, Self::then)
    }

    /// The lowest and the highest key under it.
    pub(crate) fn range(&self) -> std::ops::RangeInclusive<B256> {
        let mut last = self.nibbles;
        for index in self.len..DEPTH {
            if let Some(byte) = last.0.get_mut(index / 2) {
                *byte |= if index.is_multiple_of(2) { 0xf0 } else { 0x0f };
            }
        }
        self.nibbles..=last
    }

    /// The only key under it, when it is a whole key.
    pub(crate) fn key(&self) -> Option<B256> {
        (self.len == DEPTH).then_some(self.nibbles)
    }
}
