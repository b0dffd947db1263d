import { english, type PageTexts } from '../../page/texts.ts'
import { assertKnown } from '../knownOptions.ts'
import { isPrefix } from '../prefix.ts'

/** What a host may give the page's look. Each is the value of a CSS property: `#0b6e4f`, `8px`, `Inter, sans-serif`. */
export interface PageTheme {
  accent?: string
  /** Text on the accent. */
  onAccent?: string
  background?: string
  /** Of tables, dialogs and fields. */
  surface?: string
  text?: string
  muted?: string
  border?: string
  danger?: string
  radius?: string
  font?: string
}

export interface PageOptions {
  /** The path of the page, inside the path that koa-mount may have removed. Default: `/tokens`. */
  prefix?: string
  /** Stands above the list, and in the tab of the browser. Default: `API tokens`. */
  title?: string
  /** The look by day, and what is different in it by night. */
  theme?: PageTheme
  darkTheme?: PageTheme
  /** The language of the texts, for dates and screen readers: `de`. Default: `en`. */
  lang?: string
  /** Texts in place of the English ones, by their names. */
  texts?: Partial<PageTexts>
  /** A URL that takes a token, for the curl beside a new one. Default: no curl is shown. */
  tryUrl?: string
  /** Where people go who are not logged in any more, or are done. Default: nowhere; a portal session may say it. */
  returnUrl?: string
}

export const PAGE_PATH = '/tokens'

const PROPERTIES: Record<keyof PageTheme, string> = {
  accent: '--accent',
  onAccent: '--on-accent',
  background: '--background',
  surface: '--surface',
  text: '--text',
  muted: '--muted',
  border: '--border',
  danger: '--danger',
  radius: '--radius',
  font: '--font',
}
const KNOWN = [
  'prefix',
  'title',
  'theme',
  'darkTheme',
  'lang',
  'texts',
  'tryUrl',
  'returnUrl',
] satisfies (keyof PageOptions)[]
const VALUE = /^[\w\s#%.,()'"/-]{1,200}$/

/** @throws TypeError that names what is wrong */
export function assertPageOptions(options: PageOptions): void {
  assertKnown('page', options, KNOWN)
  const { prefix = PAGE_PATH, lang = 'en', theme = {}, darkTheme = {}, texts = {} } = options
  if (!isPrefix(prefix)) throw wrong('prefix', `must be a path like ${PAGE_PATH}`)
  if (typeof lang !== 'string' || !/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(lang))
    throw wrong('lang', 'must be a language like en')
  for (const name of ['title', 'tryUrl', 'returnUrl'] as const)
    if (!['string', 'undefined'].includes(typeof options[name])) throw wrong(name, 'must be text')
  for (const [name, given] of Object.entries({ theme, darkTheme, texts }))
    if (given === null || typeof given !== 'object' || Array.isArray(given))
      throw wrong(name, 'must be an object')
  for (const [name, given] of Object.entries({ theme, darkTheme })) {
    for (const [property, value] of Object.entries(given)) {
      if (!Object.hasOwn(PROPERTIES, property)) throw wrong(`${name}.${property}`, 'is none of the theme')
      if (typeof value !== 'string' || !VALUE.test(value) || /url\(/i.test(value))
        throw wrong(`${name}.${property}`, 'must be the value of a CSS property')
    }
  }
  for (const [name, text] of Object.entries(texts)) {
    if (!Object.hasOwn(english, name)) throw wrong(`texts.${name}`, 'is none of the texts of the page')
    if (typeof text !== 'string') throw wrong(`texts.${name}`, 'must be text')
  }
}

const wrong = (name: string, what: string): TypeError => new TypeError(`page({ ${name} }) ${what}`)

/** The host's theme as a style sheet. */
export function themeCss({ theme = {}, darkTheme = {} }: PageOptions): string {
  const rules = (given: PageTheme): string =>
    Object.entries(given)
      .map(([name, value]) => `${PROPERTIES[name as keyof PageTheme]}: ${value};`)
      .join(' ')
  const light = rules(theme)
  const dark = rules(darkTheme)
  return (
    (light && `:root { ${light} }\n`) +
    (dark && `@media (prefers-color-scheme: dark) { :root { ${dark} } }\n`)
  )
}
