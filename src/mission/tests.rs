//! Missions played through in a world of the tests' own: tasks end as a script says, and the commander answers.

mod cast;
mod model;
mod story;
mod words;
