import type { ServerResponse } from 'node:http'

/** What all JSON is sent with: it is taken for nothing else, and not loaded into pages of other origins. */
export const JSON_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

export function setJsonHeaders(res: ServerResponse): void {
  for (const name in JSON_HEADERS) res.setHeader(name, JSON_HEADERS[name as keyof typeof JSON_HEADERS])
}
