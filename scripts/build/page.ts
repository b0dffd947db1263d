import { readdirSync, readFileSync } from 'node:fs'
import { transformSync } from 'esbuild'
import { copyFiles, writeWhole } from './copies.ts'

/**
 * Puts what the page needs beside its compiled modules into `dist/page`: its style sheet, and lit-html with its licence.
 * The package carries this copy, so that whoever installs it needs nothing else. What browsers load is made smaller
 * there: each module stays a file of its own, with shorter names inside.
 */
const to = new URL('../../page/', import.meta.url)

copyFiles(new URL('../../../node_modules/lit-html/', import.meta.url), to, {
  'lit.js': 'lit-html.js',
  'lit.LICENSE.txt': 'LICENSE',
})
copyFiles(new URL('../../../src/page/', import.meta.url), to, { 'page.css': 'page.css' })

for (const name of readdirSync(to)) {
  if (!/\.(js|css)$/.test(name)) continue
  const file = new URL(name, to)
  const { code } = transformSync(readFileSync(file, 'utf8'), {
    loader: name.endsWith('.js') ? 'js' : 'css',
    minify: true,
    target: 'es2023',
  })
  // What is left of lines stands in templates, where their indentation says nothing.
  writeWhole(file, code.replace(/\n\s+/g, '\n'))
}
