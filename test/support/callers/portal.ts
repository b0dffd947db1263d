import { expect } from 'chai'
import { jwtFor } from '../processes/ledger.ts'

/** What the page's script does, without a browser. */

/** A link to the page, with the address of the service that is asked in place of the public one. */
export async function linkFor(
  url: string,
  account = 'acct_1',
  body: object = {},
  claims: object = {},
): Promise<string> {
  const answer = await fetch(`${url}/settings/portal-sessions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${jwtFor(account, claims)}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(answer.status).to.equal(201)
  const link = new URL(((await answer.json()) as { url: string }).url)
  return url + link.pathname + link.hash
}

export const codeOf = (link: string): string => new URL(link).hash.replace('#code=', '')

/** Exchanges a code, as a page of the same origin. */
export const exchange = (
  url: string,
  code: string,
  more: object = {},
  headers: Record<string, string> = {},
) =>
  fetch(`${url}/tokens/api/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin', ...headers },
    body: JSON.stringify({ code, ...more }),
  })

/** The cookie that an answer sets, as it is sent back. */
export const cookieOf = (answer: Response): string =>
  (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? ''

/** The cookie of a new session. */
export async function sessionOf(
  url: string,
  account = 'acct_1',
  body: object = {},
  claims: object = {},
): Promise<string> {
  const answer = await exchange(url, codeOf(await linkFor(url, account, body, claims)))
  expect(answer.status).to.equal(204)
  return cookieOf(answer)
}
