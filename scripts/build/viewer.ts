import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

/**
 * Puts the files of Swagger UI that `/docs` serves, and their licences, into `dist/viewer`. The package carries these
 * copies instead of depending on swagger-ui-dist, which would bring an install script that reports to its makers.
 */
const FILES = [
  'swagger-ui-bundle.js',
  'swagger-ui-bundle.js.LICENSE.txt',
  'swagger-ui.css',
  'LICENSE',
  'NOTICE',
]
const SOURCE_MAP_COMMENT = /\n?(?:\/\/|\/\*)# sourceMappingURL=[^\n]*\s*$/

const from = new URL('./', import.meta.resolve('swagger-ui-dist/package.json'))
const to = new URL('../../viewer/', import.meta.url)

mkdirSync(to, { recursive: true })
for (const name of FILES) {
  // The maps stay behind: they are larger than what they explain.
  const text = readFileSync(new URL(name, from), 'utf8').replace(SOURCE_MAP_COMMENT, '\n')
  // In one step: a service that runs from this folder never reads half a file.
  writeFileSync(new URL(`${name}.new`, to), text)
  renameSync(new URL(`${name}.new`, to), new URL(name, to))
}
