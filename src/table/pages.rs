//! A vector that grows by pages: it moves no elements when it grows, so that elements stay aligned to cache lines.

/// The number of elements per page. The first page grows like a vector, so that a few elements take no more memory
/// than in one.
const PAGE: usize = 1 << 10;

#[derive(Clone, Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

/// A sequence that grows at its end.
pub(super) trait Store<T>: Default {
    fn count(&self) -> usize;
    fn append(&mut self, element: T);
    fn element(&self, at: usize) -> Option<&T>;
    fn element_mut(&mut self, at: usize) -> Option<&mut T>;
    fn elements<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a;
}

/// Faster to index than [`Pages`], but moves its elements when it grows.
impl<T> Store<T> for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn append(&mut self, element: T) {
        self.push(element);
    }

    #[inline]
    fn element(&self, at: usize) -> Option<&T> {
        self.get(at)
    }

    #[inline]
    fn element_mut(&mut self, at: usize) -> Option<&mut T> {
        self.get_mut(at)
    }

    fn elements<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a,
    {
        self.iter()
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Pages<T> {
        Pages {
            pages: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Store<T> for Pages<T> {
    fn count(&self) -> usize {
        self.len
    }

    fn append(&mut self, element: T) {
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
    fn element(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    #[inline]
    fn element_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    fn elements<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a,
    {
        self.pages.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_elements_are_found_on_every_page() {
        let mut pages = Pages::default();
        let count = 2 * PAGE + 1;
        for element in 0..count {
            assert_eq!(pages.element(element), None);
            pages.append(element);
        }
        assert_eq!(pages.count(), count);
        assert!(pages.elements().copied().eq(0..count));
        for at in 0..count {
            *pages.element_mut(at).unwrap() += 1;
            assert_eq!(pages.element(at), Some(&(at + 1)));
        }
        assert_eq!(pages.element_mut(count), None);
    }
}
