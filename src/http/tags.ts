/** Under which headings the description groups its operations, in this order, and what each is about. */
export const tags = {
  Tokens: 'The tokens of an account: make, look at, change and revoke them.',
  Rotation: 'Another secret for the same token, while the old one still works.',
  Usage: 'What tokens did, and what they would not reach any more.',
  Events: 'What happens to the tokens of an account, as it happens.',
  Page: 'The page in a browser on which people manage their tokens.',
  Authentication: 'Is this credential good? For reverse proxies and other services.',
  OAuth: 'Introspection and revocation for OAuth clients.',
  Operators: 'The tokens of all accounts.',
  Leaks: 'Secrets that were found in public.',
  Operation: 'Health, metrics, and this description.',
} as const

export type Tag = keyof typeof tags

export const tagged = <Row extends object>(tag: Tag, rows: readonly Row[]): (Row & { tag: Tag })[] =>
  rows.map((row) => ({ ...row, tag }))
