import type { ServerResponse } from 'node:http'

/** Sent with all JSON, so that browsers take it for nothing else, and load it into no page of another origin. */
export const JSON_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

/** The same as names and values in turn. */
export const JSON_HEAD: readonly string[] = Object.entries(JSON_HEADERS).flat()

export function setJsonHeaders(res: ServerResponse): void {
  for (const name in JSON_HEADERS) res.setHeader(name, JSON_HEADERS[name as keyof typeof JSON_HEADERS])
}
