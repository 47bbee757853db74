// Package catalog reads and writes catalogues of event types: what a team's code says of the events that it publishes,
// as an OpenAPI 3.1 document with webhooks, or as files of JSON Schema 2020-12.
//
// [Parse] reads a document, which is JSON, and [Document] writes one of what was read: the same, for each type that
// nobody has changed in between. [FromFiles] and [ToFiles] are for a folder with a file for each type, [FromYAML] and
// [ToYAML] for documents that are YAML. [Compare] says what differs between two versions of a type, and which of it
// breaks who receives it. [Compile] makes of a schema what a payload is held against.
//
// Nothing is fetched: a reference leads to the same document, or is refused.
package catalog
