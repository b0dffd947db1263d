import { readOnce } from '../readOnce.ts'
import { hash } from 'node:crypto'
import type { Context } from 'koa'
import type { Route } from '../route.ts'

/** The build puts the browser's part into `dist/page`. This is its place relative to the compiled file. */
const FOLDER = new URL('../../../page/', import.meta.url)

/** Everything that is served out of that folder. */
export const PAGE_FILES = [
  'address.js',
  'addressCheck.js',
  'api.js',
  'app.js',
  'bars.js',
  'blastRadius.js',
  'bulk.js',
  'create.js',
  'details.js',
  'dialog.js',
  'edit.js',
  'facts.js',
  'fields.js',
  'format.js',
  'history.js',
  'inputErrors.js',
  'leak.js',
  'list.js',
  'lit.js',
  'page.css',
  'parts.js',
  'revoke.js',
  'rotation.js',
  'secret.js',
  'session.js',
  'store.js',
  'texts.js',
  'tokenList.js',
  'usage.js',
] as const

/** People handle secrets on this page. So only this server may run code in it, frame it, or get requests from it. */
const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types lit-html',
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}

const JAVASCRIPT = 'text/javascript; charset=utf-8'
const CSS = 'text/css; charset=utf-8'

interface ServedFile {
  type: string
  read: () => Promise<Buffer>
}

export interface PageContent {
  title: string
  lang: string
  theme: string
  config: object
}

/** What the page is made of, and nothing else: no path of a request is looked for on the disk. */
export function fileRoutes(prefix: string, { title, lang, theme, config }: PageContent): Route[] {
  const made = (type: string, text: string): ServedFile => ({ type, read: async () => Buffer.from(text) })
  const files = new Map<string, ServedFile>(
    PAGE_FILES.map((name) => [
      name,
      { type: name.endsWith('.css') ? CSS : JAVASCRIPT, read: readOnce(new URL(name, FOLDER)) },
    ]),
  )
  files.set('theme.css', made(CSS, theme))
  files.set('config.json', made('application/json; charset=utf-8', JSON.stringify(config)))
  const last = prefix.slice(prefix.lastIndexOf('/') + 1)
  // Links are relative, since a proxy may have removed a prefix. With a slash at its end it is one level further down.
  const page = (isFolder: boolean) =>
    made('text/html; charset=utf-8', shell(title, lang, isFolder ? '' : `${last}/`))
  const [plain, folder] = [page(false), page(true)]

  const file = (path: string, served: (ctx: Context) => ServedFile): Route => ({
    method: 'get',
    path,
    operationId: `page ${path}`,
    summary: 'The page',
    who: 'open',
    answers: {},
    problems: [],
    handle: (ctx) => send(ctx, served(ctx)),
  })
  return [
    file(prefix, (ctx) => (ctx.path.endsWith('/') ? folder : plain)),
    ...[...files].map(([name, served]) => file(`${prefix}/${name}`, () => served)),
  ]
}

/** Browsers ask each time whether it has changed, so that a new version is complete at once. */
async function send(ctx: Context, { type, read }: ServedFile): Promise<void> {
  const bytes = await read()
  ctx.set(HEADERS)
  ctx.set('Cache-Control', 'no-cache')
  ctx.set('ETag', `"${hash('sha256', bytes, 'base64url')}"`)
  ctx.status = 200
  if (ctx.fresh) {
    ctx.status = 304
    return
  }
  ctx.body = bytes
  ctx.set('Content-Type', type)
}

const ESCAPED: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ESCAPED[character] ?? '')

/** @param base the path from the page to its files */
const shell = (title: string, lang: string, base: string): string => `<!doctype html>
<html lang="${lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${base}page.css">
<link rel="stylesheet" href="${base}theme.css">
${PAGE_FILES.filter((name) => name.endsWith('.js'))
  .map((name) => `<link rel="modulepreload" href="${base}${name}">`)
  .join('\n')}
<script type="module" src="${base}app.js"></script>
</head>
<body>
<noscript>This page needs JavaScript.</noscript>
<div id="app"></div>
</body>
</html>
`
