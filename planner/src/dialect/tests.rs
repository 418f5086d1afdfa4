//! The front end as its users see it.
