import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { projectRoot } from './package.ts'

/** Reads the parts of documents that tests need: code blocks, tables, headings and links of Markdown. */

/** Paths of the README and of all pages of `docs/`, from the root of the project. */
export const documents: readonly string[] = [
  'README.md',
  ...readdirSync(join(projectRoot, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path))
    .sort(),
]

export const textOf = (path: string): string => readFileSync(join(projectRoot, path), 'utf8')

export interface Block {
  /** The text behind the opening fence: the language, and notes. */
  info: string
  text: string
}

/** The fenced blocks of a text, also those in lists. @throws Error for a fence that is never closed */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  let open: { indent: number; info: string; lines: string[] } | null = null
  for (const line of text.split('\n')) {
    const [, spaces = '', info = ''] = /^( *)```(.*)$/.exec(line) ?? []
    const isFence = line.trimStart().startsWith('```')
    if (!open) {
      if (isFence) open = { indent: spaces.length, info, lines: [] }
    } else if (isFence) {
      blocks.push({ info: open.info, text: `${open.lines.join('\n')}\n` })
      open = null
    } else {
      open.lines.push(line.slice(open.indent))
    }
  }
  if (open) throw new Error(`a block is never closed: ${open.lines[0]}`)
  return blocks
}

/** A text without its fenced blocks. */
export function proseOf(text: string): string {
  let isInside = false
  return text
    .split('\n')
    .filter((line) => {
      const isFence = line.trimStart().startsWith('```')
      if (isFence) isInside = !isInside
      return !isFence && !isInside
    })
    .join('\n')
}

/** The rows of all tables whose first column has this heading, as lists of cells. The first cell has no backticks. */
export function rowsUnder(heading: string, text: string): string[][] {
  const rows: string[][] = []
  let isInside = false
  for (const line of proseOf(text).split('\n')) {
    const cells = line.startsWith('|') ? cellsOf(line) : null
    if (!cells) isInside = false
    else if (isInside) rows.push(cells)
    else isInside = cells[0] === heading
  }
  // The line of dashes below the heading is not a row.
  return rows.filter(([first = '']) => !/^-+$/.test(first))
}

const cellsOf = (line: string): string[] =>
  line
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())

/** All texts between backticks. */
export const namesIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string)

/** The anchors that GitHub makes from the headings of a text. */
export function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>()
  return [...proseOf(text).matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading = '']) => {
    const slug = heading
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-')
    const times = seen.get(slug) ?? 0
    seen.set(slug, times + 1)
    return times === 0 ? slug : `${slug}-${times}`
  })
}

/** The targets of a text's links. */
export const linksIn = (text: string): string[] =>
  [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string)

/**
 * What is wrong with a document's links to other documents and to itself. Links to other hosts are not followed.
 * @param notYet paths that need not exist
 */
export function brokenLinks(path: string, text: string, notYet: readonly string[] = []): string[] {
  const broken: string[] = []
  for (const link of linksIn(text)) {
    if (/^[a-z]+:/.test(link)) continue
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? path : normalize(join(dirname(path), file))
    if (notYet.includes(target)) continue
    if (file !== '' && !existsSync(join(projectRoot, target))) broken.push(`${path}: there is no ${target}`)
    else if (anchor !== undefined && !anchorsOf(file === '' ? text : textOf(target)).includes(anchor))
      broken.push(`${path}: ${target} has no #${anchor}`)
  }
  return broken
}
