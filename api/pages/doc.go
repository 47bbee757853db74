// Package pages is what the console and the portal have in common: their pages ask the API in this process, as any
// client does ([Transport]), read forms, and tell of attempts and refusals in the same words. What the pages look like
// is package web's.
package pages
