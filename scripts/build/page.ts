import { copyFiles } from './copies.ts'

/**
 * Puts what the page needs beside its compiled modules into `dist/page`: its style sheet, and lit-html with its licence.
 * The package carries this copy, so that whoever installs it needs nothing else.
 */
const to = new URL('../../page/', import.meta.url)

copyFiles(new URL('../../../node_modules/lit-html/', import.meta.url), to, {
  'lit.js': 'lit-html.js',
  'lit.LICENSE.txt': 'LICENSE',
})
copyFiles(new URL('../../../src/page/', import.meta.url), to, { 'page.css': 'page.css' })
