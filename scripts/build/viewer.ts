import { copyFiles } from './copies.ts'

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

copyFiles(
  new URL('./', import.meta.resolve('swagger-ui-dist/package.json')),
  new URL('../../viewer/', import.meta.url),
  Object.fromEntries(FILES.map((name) => [name, name])),
)
