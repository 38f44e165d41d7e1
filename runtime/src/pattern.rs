//! POSIX shell patterns over whole paths (TES contract 10.8), with `**` and braces as extensions (10.9).
//!
//! `*`, `?` and `[…]` never match `/`, and a leading dot of a component only matches a dot that stands first in
//! its component of the pattern. `**` spans directories, though none that are hidden; `**/` also spans none at
//! all. A backslash takes the next character's meaning away.

use crate::places;

/// A pattern, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal { char: char, leads: bool },
    One,
    OneOf { negated: bool, items: Vec<Item> },
    Many,
    Deep,
    DeepDirectories,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Range(char, char),
    Class(String),
}

/// Whether a text has characters with a meaning in patterns.
pub(crate) fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The directory below which everything lies that a pattern can match.
pub(crate) fn head(pattern: &str) -> &str {
    let fixed = match pattern.find(['*', '?', '[', '{', '\\']) {
        Some(at) => &pattern[..=at],
        None => pattern,
    };
    places::parent(fixed)
}

/// A pattern with its braces expanded, in order; itself alone when it has none (TES contract 10.9).
pub(crate) fn alternatives(pattern: &str) -> Vec<String> {
    /// Bounds what a hostile nest of braces may grow to.
    const MOST: usize = 1024;
    let mut open = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(text) = open.pop() {
        match first_brace(&text) {
            Some((begin, end, parts)) if open.len() + done.len() + parts.len() <= MOST => {
                // Taken from the end, so that the first alternative comes first.
                for part in parts.iter().rev() {
                    open.push(format!("{}{part}{}", &text[..begin], &text[end + 1..]));
                }
            }
            Some(_) | None => done.push(text),
        }
    }
    done
}

/// The first pair of braces with a comma in it: where it begins and ends, and what it offers.
fn first_brace(text: &str) -> Option<(usize, usize, Vec<String>)> {
    for (begin, _) in text.match_indices('{') {
        let mut depth = 0usize;
        let mut parts = vec![String::new()];
        for (at, char) in text[begin..].char_indices() {
            match char {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                if parts.len() > 1 {
                    return Some((begin, begin + at, parts));
                }
                break;
            }
            if char == ',' && depth == 1 {
                parts.push(String::new());
            } else if at > 0
                && let Some(part) = parts.last_mut()
            {
                part.push(char);
            }
        }
    }
    None
}

impl Pattern {
    /// Reads a pattern; every text is one.
    pub(crate) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut tokens = Vec::with_capacity(chars.len());
        let mut at = 0;
        while at < chars.len() {
            let leads = at == 0 || chars[at - 1] == '/';
            match chars[at] {
                '\\' if at + 1 < chars.len() => {
                    tokens.push(Token::Literal { char: chars[at + 1], leads });
                    at += 2;
                }
                '?' => {
                    tokens.push(Token::One);
                    at += 1;
                }
                '*' => {
                    let stars = chars[at..].iter().take_while(|char| **char == '*').count();
                    at += stars;
                    if stars == 1 {
                        tokens.push(Token::Many);
                    } else if leads && chars.get(at) == Some(&'/') {
                        tokens.push(Token::DeepDirectories);
                        at += 1;
                    } else {
                        tokens.push(Token::Deep);
                    }
                }
                '[' => match one_of(&chars[at..]) {
                    Some((token, length)) => {
                        tokens.push(token);
                        at += length;
                    }
                    None => {
                        tokens.push(Token::Literal { char: '[', leads });
                        at += 1;
                    }
                },
                char => {
                    tokens.push(Token::Literal { char, leads });
                    at += 1;
                }
            }
        }
        Self { tokens }
    }

    /// Whether it can match at any depth.
    pub(crate) fn is_deep(&self) -> bool {
        self.tokens.iter().any(|token| matches!(token, Token::Deep | Token::DeepDirectories))
    }

    /// Whether the whole path matches. Takes time in proportion to both lengths, whatever the pattern.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let end = self.tokens.len();
        let mut states = vec![false; end + 1];
        states[0] = true;
        let mut begins = true;
        self.step_over(&mut states, begins);
        for char in path.chars() {
            let mut next = vec![false; end + 1];
            for (at, token) in self.tokens.iter().enumerate() {
                if !states[at] {
                    continue;
                }
                let hidden = begins && char == '.';
                match token {
                    Token::Literal { char: literal, leads } => next[at + 1] |= *literal == char && (!hidden || *leads),
                    Token::One => next[at + 1] |= char != '/' && !hidden,
                    Token::OneOf { negated, items } => {
                        next[at + 1] |= char != '/' && !hidden && items.iter().any(|item| item.holds(char)) != *negated;
                    }
                    Token::Many => next[at] |= char != '/' && !hidden,
                    Token::Deep | Token::DeepDirectories => next[at] |= !hidden,
                }
            }
            begins = char == '/';
            self.step_over(&mut next, begins);
            states = next;
        }
        states[end]
    }

    /// Marks what is reached without a character: stars may be empty.
    fn step_over(&self, states: &mut [bool], begins: bool) {
        for (at, token) in self.tokens.iter().enumerate() {
            let empty = match token {
                Token::Many | Token::Deep => true,
                Token::DeepDirectories => begins,
                Token::Literal { .. } | Token::One | Token::OneOf { .. } => false,
            };
            if states[at] && empty {
                states[at + 1] = true;
            }
        }
    }
}

/// A bracket expression and its length; `None` when it does not end.
fn one_of(chars: &[char]) -> Option<(Token, usize)> {
    let mut at = 1;
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut items = Vec::new();
    loop {
        let char = *chars.get(at)?;
        if char == ']' && at > first {
            return Some((Token::OneOf { negated, items }, at + 1));
        }
        if char == '/' {
            return None;
        }
        if char == '[' && chars.get(at + 1) == Some(&':') {
            let name = &chars[at + 2..];
            let length = name.iter().position(|char| *char == ':')?;
            if name.get(length + 1) == Some(&']') {
                items.push(Item::Class(name[..length].iter().collect()));
                at += length + 4;
                continue;
            }
        }
        match (chars.get(at + 1), chars.get(at + 2)) {
            (Some('-'), Some(last)) if *last != ']' => {
                items.push(Item::Range(char, *last));
                at += 3;
            }
            _ => {
                items.push(Item::Range(char, char));
                at += 1;
            }
        }
    }
}

impl Item {
    fn holds(&self, char: char) -> bool {
        match self {
            Self::Range(from, to) => (*from..=*to).contains(&char),
            Self::Class(name) => match name.as_str() {
                "alnum" => char.is_alphanumeric(),
                "alpha" => char.is_alphabetic(),
                "blank" => char == ' ' || char == '\t',
                "cntrl" => char.is_control(),
                "digit" => char.is_ascii_digit(),
                "lower" => char.is_lowercase(),
                "punct" => char.is_ascii_punctuation(),
                "space" => char.is_whitespace(),
                "upper" => char.is_uppercase(),
                "xdigit" => char.is_ascii_hexdigit(),
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rule_10_8_patterns_are_those_of_a_posix_shell() {
        for (pattern, path, expected) in [
            ("/w/*.txt", "/w/a.txt", true),
            ("/w/*", "/w/a/b", false),
            ("/w/*/b", "/w/a/b", true),
            ("/w/?", "/w/a", true),
            ("/w/?", "/w/ä", true),
            ("/w/?", "/w/", false),
            ("/w/[a-c]x", "/w/bx", true),
            ("/w/[!a-c]x", "/w/bx", false),
            ("/w/[!a-c]x", "/w/dx", true),
            ("/w/[]x]", "/w/]", true),
            ("/w/[a", "/w/[a", true),
            ("/w/[[:digit:]]", "/w/7", true),
            ("/w/[[:digit:]]", "/w/x", false),
            ("/w/\\*", "/w/*", true),
            ("/w/\\*", "/w/a", false),
            ("/w[/]x", "/w/x", false),
            ("/w/a", "/w/a", true),
            ("/w/a", "/w/ab", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn rule_10_12_a_leading_dot_only_matches_a_dot() {
        for (pattern, path, expected) in [
            ("/w/*.txt", "/w/.txt", false),
            ("/w/*.txt", "/w/.a.txt", false),
            ("/w/*", "/w/a.", true),
            ("/w/?", "/w/.", false),
            ("/w/[.]a", "/w/.a", false),
            ("/w/[!x]a", "/w/.a", false),
            ("/*/a", "/.w/a", false),
            ("/w/.*", "/w/.a", true),
            ("/w/.*/*", "/w/.a/b", true),
            ("/w/.*/*", "/w/.a/.b", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn rule_10_9_and_10_12_two_stars_span_directories() {
        for (pattern, path, expected) in [
            ("/w/**.txt", "/w/a.txt", true),
            ("/w/**.txt", "/w/a/b/c.txt", true),
            ("/w/**.txt", "/w/.a/c.txt", false),
            ("/w/**/c.txt", "/w/c.txt", true),
            ("/w/**/c.txt", "/w/a/b/c.txt", true),
            ("/w/**/c.txt", "/w/ac.txt", false),
            ("/w/**/.c", "/w/a/.c", true),
            ("/w/**", "/w/a/b", true),
            ("/w/**/x*", "/w/a/b/xy", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn rule_10_9_braces_are_expanded_in_order() {
        assert_eq!(alternatives("/w/{a,b}.txt"), ["/w/a.txt", "/w/b.txt"]);
        assert_eq!(alternatives("/{a,b{1,2}}"), ["/a", "/b1", "/b2"]);
        assert_eq!(alternatives("/w/{a}"), ["/w/{a}"]);
        assert_eq!(alternatives("/w/{a"), ["/w/{a"]);
        assert_eq!(alternatives("/w/x"), ["/w/x"]);
        assert!(alternatives(&"{a,b}".repeat(40)).len() <= 1024);
    }

    #[test]
    fn the_head_has_no_wildcards() {
        for (pattern, expected) in
            [("/w/*.txt", "/w"), ("/w/a*/b", "/w"), ("/w/a/b?/c", "/w/a"), ("/*.txt", "/"), ("/w/{a,b}", "/w")]
        {
            assert_eq!(head(pattern), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_path_matches_itself_alone(a in "(/[a-z.]{1,5}){1,4}", b in "(/[a-z.]{1,5}){1,4}") {
            prop_assert!(Pattern::new(&a).matches(&a));
            prop_assert_eq!(Pattern::new(&a).matches(&b), a == b);
        }

        #[test]
        fn what_matches_lies_below_the_head(pattern in "(/[ab*?\\[\\]{},]{1,4}){1,4}", path in "(/[ab]{1,3}){1,4}") {
            if Pattern::new(&pattern).matches(&path) {
                prop_assert!(places::is_within(&path, head(&pattern)));
            }
        }

        #[test]
        fn no_pattern_panics(pattern in ".{0,30}", path in ".{0,30}") {
            let _ = Pattern::new(&pattern).matches(&path);
            let _ = alternatives(&pattern);
        }
    }
}
