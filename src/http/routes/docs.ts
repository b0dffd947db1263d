import { readOnce } from '../readOnce.ts'
import type { Context } from 'koa'
import { Problem } from '../problem.ts'
import type { Route } from '../route.ts'

/** The build puts Swagger UI into `dist/viewer`. This is its place relative to the compiled file. */
const FOLDER = new URL('../../../viewer/', import.meta.url)

/**
 * People type credentials into this page. So only this service may run code in it, frame it, or get requests from it.
 */
const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    // Swagger UI's icons are in its style sheet.
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}

/** @param base the path from the page to its files */
const pageFrom = (base: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tokenledger</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${base}swagger-ui.css">
</head>
<body>
<noscript>The description itself is <a href="${base}../openapi.json">openapi.json</a>.</noscript>
<div id="viewer"></div>
<script src="${base}swagger-ui-bundle.js"></script>
<script src="${base}start.js"></script>
</body>
</html>
`

/** Credentials are kept only while the page is open. Neither the page's URL nor another server can configure it. */
const START = `SwaggerUIBundle({
  url: new URL('../openapi.json', document.currentScript.src).href,
  dom_id: '#viewer',
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
})
`

const JAVASCRIPT = 'text/javascript; charset=utf-8'

/** `/docs`: a page that shows `/openapi.json`, and the files that it needs. No other file is served. */
export function docsRoutes(): Route[] {
  const files = new Map([
    ['start.js', { type: JAVASCRIPT, read: async () => Buffer.from(START) }],
    ['swagger-ui-bundle.js', { type: JAVASCRIPT, read: readOnce(new URL('swagger-ui-bundle.js', FOLDER)) }],
    [
      'swagger-ui.css',
      { type: 'text/css; charset=utf-8', read: readOnce(new URL('swagger-ui.css', FOLDER)) },
    ],
  ])

  const page = (ctx: Context) => {
    ctx.set(HEADERS)
    // The link is relative, since a proxy may have removed a prefix. `/docs/` is the same page, one level further down.
    ctx.body = pageFrom(ctx.path.endsWith('/') ? '' : 'docs/')
    ctx.set('Content-Type', 'text/html; charset=utf-8')
  }

  const asset = async (ctx: Context) => {
    const file = files.get(ctx.params.file)
    if (!file) throw new Problem('not_found', 'There is nothing here.')
    ctx.set(HEADERS)
    ctx.body = await file.read()
    ctx.set('Content-Type', file.type)
  }

  const open = { method: 'get' as const, who: 'open' as const }
  return [
    {
      ...open,
      path: '/docs',
      operationId: 'docs',
      summary: 'This description, to read in a browser',
      answers: {
        200: { description: 'A page.', type: 'text/html', schema: { type: 'string' } },
      },
      problems: [],
      handle: page,
    },
    {
      ...open,
      path: '/docs/:file',
      operationId: 'docsFile',
      summary: 'What that page is made of',
      answers: {
        200: {
          description: 'A script or a style sheet.',
          type: ['text/javascript', 'text/css'],
          schema: { type: 'string' },
        },
      },
      problems: ['not_found'],
      handle: asset,
    },
  ]
}
