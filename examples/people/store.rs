//! The database, and the service on it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headwater_rpc::{Code, Status, stub::Sink};
use rusqlite::{Connection, Error, Row};

use crate::{People, Person};

/// What the service does before each of those whom it adds by itself.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);
/// Whom it adds.
pub(crate) const MORE: [[&str; 3]; 2] = [
    ["dave", "dave@dave.com", "https://dave.com/"],
    ["leif", "leif@leif.com", "https://leif.com/"],
];
/// What a person is to the database.
const LABEL: &str = "person";

/// People in SQLite. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Arc<Mutex<Connection>>,
}

impl Store {
    /// In this file, which is made if it is missing; or without a path, in memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Status> {
        let opened = path.map_or_else(Connection::open_in_memory, Connection::open);
        let database = opened.and_then(|database| {
            database.execute_batch(
                "CREATE TABLE IF NOT EXISTS person (
                    id INTEGER PRIMARY KEY,
                    name TEXT NOT NULL,
                    email TEXT NOT NULL,
                    url TEXT NOT NULL
                ) STRICT",
            )?;
            Ok(database)
        });
        let database = Arc::new(Mutex::new(database.map_err(failed)?));
        Ok(Self { database })
    }

    /// Asks the database on a thread that may wait for it.
    async fn ask<T, F>(&self, question: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        let answer = tokio::task::spawn_blocking(move || {
            question(&database.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let answer = answer.await;
        let answer = answer.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        answer.map_err(failed)
    }

    /// Keeps somebody, and gives the same with what the database says.
    async fn keep(&self, person: Person) -> Result<Person, Status> {
        self.ask(move |database| {
            let Person {
                name, email, url, ..
            } = &person;
            let insert = "INSERT INTO person (name, email, url) VALUES (?1, ?2, ?3) RETURNING id";
            let id = database.query_row(insert, [name, email, url], |row| row.get(0))?;
            Ok(Person {
                id,
                label: LABEL.to_owned(),
                ..person
            })
        })
        .await
    }

    /// Those with this name after this one, some at a time.
    async fn find(&self, name: String, after: i32) -> Result<Vec<Person>, Status> {
        self.ask(move |database| {
            let mut select = database.prepare(
                "SELECT id, name, email, url FROM person
                WHERE id > ?1 AND (?2 = '' OR name = ?2) ORDER BY id LIMIT 100",
            )?;
            let found = select.query_map((after, name), person)?;
            found.collect()
        })
        .await
    }
}

impl People for Store {
    async fn create_person(&self, person: Person, kept: Sink<Person>) -> Result<(), Status> {
        if person.name.is_empty() {
            return Err(Status::new(Code::InvalidArgument, "somebody has a name"));
        }
        kept.send(self.keep(person).await?).await?;
        for [name, email, url] in MORE {
            tokio::time::sleep(PAUSE).await;
            if kept.is_ended() {
                // Nobody waits for them any more.
                break;
            }
            let another = Person {
                name: name.to_owned(),
                email: email.to_owned(),
                url: url.to_owned(),
                ..Person::default()
            };
            kept.send(self.keep(another).await?).await?;
        }
        Ok(())
    }

    async fn find_person(&self, person: Person, found: Sink<Person>) -> Result<(), Status> {
        let mut after = 0;
        loop {
            let some = self.find(person.name.clone(), after).await?;
            let Some(last) = some.last() else {
                return Ok(());
            };
            after = last.id;
            // No more is read than the client takes.
            found.send_all(&some).await?;
        }
    }
}

fn person(row: &Row<'_>) -> Result<Person, Error> {
    Ok(Person {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        url: row.get(3)?,
        label: LABEL.to_owned(),
    })
}

/// What went wrong in the database is for its owner to see.
fn failed(error: Error) -> Status {
    eprintln!("database: {error}");
    Status::new(Code::Internal, "the database failed")
}
