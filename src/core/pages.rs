//! A vector that grows by pages: nothing is moved when it grows, and each element stays on cache lines of its
//! own.

/// Elements per page. The first page grows like any vector, so that a few elements cost no more than they do
/// there.
const PAGE: usize = 1 << 10;

#[derive(Clone, Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Pages<T> {
    pub(super) const fn new() -> Pages<T> {
        Pages {
            pages: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, element: T) {
        match self.pages.last_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(element),
            None => {
                let capacity = if self.pages.is_empty() { 4 } else { PAGE };
                let mut page = Vec::with_capacity(capacity);
                page.push(element);
                self.pages.push(page);
            }
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_found_on_every_page() {
        let mut pages = Pages::new();
        let count = 2 * PAGE + 1;
        for element in 0..count {
            assert_eq!(pages.get(element), None);
            pages.push(element);
        }
        assert_eq!(pages.len(), count);
        assert!(pages.iter().copied().eq(0..count));
        for at in 0..count {
            *pages.get_mut(at).unwrap() += 1;
            assert_eq!(pages.get(at), Some(&(at + 1)));
        }
        assert_eq!(pages.get_mut(count), None);
    }
}
