//! YAML to a tree that knows the line and column of every key and value. Refuses documents over their bounds before they take memory
//! (aliases are counted by what they stand for), duplicate keys, keys that are not plain text, tags, and a second document.

use crate::{
    error::{At, Problem, ProblemKind},
    names::shorten,
};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use std::{borrow::Cow, collections::BTreeMap, collections::BTreeSet, rc::Rc};

/// Nesting allowed.
pub const MAX_DEPTH: usize = 32;
/// Keys and values allowed, what aliases and merge keys stand for counted each time.
pub const MAX_NODES: usize = 50_000;
/// Bytes of a key.
pub const MAX_KEY: usize = 1024;

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) kind: Rc<Kind>,
}

pub(crate) enum Kind {
    Null,
    Text { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: At,
    pub(crate) value: Node,
}

/// A node with what an alias to it costs.
#[derive(Clone)]
struct Sized {
    node: Node,
    nodes: usize,
    depth: usize,
}

enum Frame {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeMap<String, At>,
        /// The key waiting for its value; without a name it is the merge key.
        key: Option<(Option<String>, At)>,
        merge: Vec<Node>,
    },
}

struct Open {
    frame: Frame,
    at: At,
    anchor: usize,
    nodes: usize,
    depth: usize,
}

#[derive(Default)]
struct Loader {
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Sized>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

type Fatal = Box<Problem>;

/// The tree of `text`, and what was wrong that did not keep it from being read.
pub(crate) fn load(text: &str) -> Result<(Node, Vec<Problem>), Vec<Problem>> {
    let mut loader = Loader::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => loader.event(event, span),
            Err(error) => Err(problem(
                place(*error.marker()),
                ProblemKind::Syntax,
                "YAML",
                error.info(),
                "",
            )),
        };
        if let Err(fatal) = step {
            loader.problems.push(*fatal);
            return Err(loader.problems);
        }
    }
    match loader.root {
        Some(root) => Ok((root, loader.problems)),
        None => {
            let at = At { line: 1, column: 1 };
            loader.problems.push(*problem(
                at,
                ProblemKind::Syntax,
                "a compose file",
                "an empty document",
                "",
            ));
            Err(loader.problems)
        }
    }
}

fn place(mark: Marker) -> At {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    At {
        line: count(mark.line().max(1)),
        column: count(mark.col().saturating_add(1)),
    }
}

fn problem(at: At, kind: ProblemKind, expected: &str, actual: &str, advice: &str) -> Fatal {
    Box::new(Problem {
        at,
        key: String::new(),
        kind,
        expected: expected.to_owned(),
        actual: shorten(actual),
        advice: advice.to_owned(),
    })
}

impl Loader {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fatal> {
        let at = place(span.start);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(problem(
                at,
                ProblemKind::Syntax,
                "one document",
                "a second one",
                "put each project into a file of its own",
            )),
            Event::Alias(id) => self.alias(id, at),
            Event::Scalar(text, style, anchor, tag) => self.scalar((text, style, anchor), tag, at),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &["seq"], at);
                self.open(Frame::List(Vec::new()), anchor, at)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &["map"], at);
                let frame = Frame::Map {
                    entries: Vec::new(),
                    seen: BTreeMap::new(),
                    key: None,
                    merge: Vec::new(),
                };
                self.open(frame, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, allowed: &[&str], at: At) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() && allowed.contains(&tag.suffix.as_str()) {
            return;
        }
        let advice = "leave the tag out; one file is read, so there is nothing to reset or override";
        self.problems.push(*problem(
            at,
            ProblemKind::Syntax,
            "no tag",
            &tag.to_string(),
            advice,
        ));
    }

    fn count(&mut self, nodes: usize, at: At) -> Result<(), Fatal> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let expected = format!("at most {MAX_NODES} keys and values, aliases counted by what they stand for");
        Err(problem(at, ProblemKind::Bound, &expected, "more", ""))
    }

    fn check_depth(&self, below: usize, at: At) -> Result<(), Fatal> {
        if self.stack.len() + below <= MAX_DEPTH {
            return Ok(());
        }
        let expected = format!("nesting of at most {MAX_DEPTH}");
        Err(problem(at, ProblemKind::Bound, &expected, "deeper", ""))
    }

    fn open(&mut self, frame: Frame, anchor: usize, at: At) -> Result<(), Fatal> {
        self.count(1, at)?;
        self.check_depth(1, at)?;
        self.stack.push(Open {
            frame,
            at,
            anchor,
            nodes: 1,
            depth: 1,
        });
        Ok(())
    }

    fn alias(&mut self, id: usize, at: At) -> Result<(), Fatal> {
        let Some(sized) = self.anchors.get(&id).cloned() else {
            return Err(problem(
                at,
                ProblemKind::Syntax,
                "an alias of something complete",
                "one inside itself",
                "",
            ));
        };
        self.count(sized.nodes, at)?;
        self.check_depth(sized.depth, at)?;
        self.put(sized)
    }

    fn scalar(
        &mut self,
        (text, style, anchor): (Cow<'_, str>, ScalarStyle, usize),
        tag: Option<Cow<'_, Tag>>,
        at: At,
    ) -> Result<(), Fatal> {
        self.count(1, at)?;
        let allowed = ["str", "int", "bool", "float", "null"];
        self.refuse_tag(tag.as_deref(), &allowed, at);
        let plain = style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix != "str");
        let kind = match &*text {
            "" | "~" | "null" | "Null" | "NULL" if plain => Kind::Null,
            _ => Kind::Text {
                text: text.into_owned(),
                plain,
            },
        };
        let node = Node {
            at,
            kind: Rc::new(kind),
        };
        let sized = Sized {
            node,
            nodes: 1,
            depth: 0,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, sized.clone());
        }
        self.put(sized)
    }

    fn close(&mut self) -> Result<(), Fatal> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let (kind, merged) = match open.frame {
            Frame::List(items) => (Kind::List(items), 0),
            Frame::Map { entries, merge, .. } => {
                let before = entries.len();
                let entries = self.merged(entries, merge)?;
                let merged = entries.len().saturating_sub(before);
                (Kind::Map(entries), merged)
            }
        };
        self.count(merged, open.at)?;
        let node = Node {
            at: open.at,
            kind: Rc::new(kind),
        };
        let sized = Sized {
            node,
            nodes: open.nodes.saturating_add(merged),
            depth: open.depth,
        };
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, sized.clone());
        }
        self.put(sized)
    }

    /// `entries` with those of the merge keys that are not written out; the first to say something wins.
    fn merged(&mut self, mut entries: Vec<Entry>, merge: Vec<Node>) -> Result<Vec<Entry>, Fatal> {
        if merge.is_empty() {
            return Ok(entries);
        }
        let mut seen: BTreeSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for node in merge {
            let sources = match &*node.kind {
                Kind::List(items) => items.clone(),
                _ => vec![node],
            };
            for source in sources {
                let Kind::Map(more) = &*source.kind else {
                    let expected = "a mapping, or a list of mappings, to merge";
                    return Err(problem(
                        source.at,
                        ProblemKind::Value,
                        expected,
                        "something else",
                        "",
                    ));
                };
                self.count(more.len(), source.at)?;
                entries.extend(
                    more.iter()
                        .filter(|entry| seen.insert(entry.key.clone()))
                        .cloned(),
                );
            }
        }
        Ok(entries)
    }

    fn put(&mut self, sized: Sized) -> Result<(), Fatal> {
        let Sized { node, nodes, depth } = sized;
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.nodes = open.nodes.saturating_add(nodes);
        open.depth = open.depth.max(depth.saturating_add(1));
        match &mut open.frame {
            Frame::List(items) => items.push(node),
            Frame::Map {
                entries,
                seen,
                key,
                merge,
            } => match key.take() {
                None => {
                    let Kind::Text { text, plain } = &*node.kind else {
                        let expected = "a key of plain text";
                        return Err(problem(
                            node.at,
                            ProblemKind::Syntax,
                            expected,
                            "another kind of key",
                            "",
                        ));
                    };
                    if text.len() > MAX_KEY {
                        let expected = format!("a key of at most {MAX_KEY} bytes");
                        return Err(problem(node.at, ProblemKind::Bound, &expected, text, ""));
                    }
                    if let Some(first) = seen.insert(text.clone(), node.at) {
                        let actual = format!("`{text}` again, first on line {}", first.line);
                        let kind = ProblemKind::Duplicate;
                        let found = problem(node.at, kind, "each key once", &actual, "remove one");
                        self.problems.push(*found);
                    }
                    let name = (!*plain || text != "<<").then(|| text.clone());
                    *key = Some((name, node.at));
                }
                Some((None, _)) => merge.push(node),
                Some((Some(key), at)) => entries.push(Entry { key, at, value: node }),
            },
        }
        Ok(())
    }
}
