import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { problems } from '../../src/http/problem.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { cli } from '../support/cli.ts'
import { projectRoot } from '../support/package.ts'

/** Paths of the pages, seen from the project's folder. */
const pages = [
  ...readdirSync(projectRoot),
  ...readdirSync(join(projectRoot, 'docs'), { recursive: true }).map((file) => join('docs', String(file))),
].filter((file) => file.endsWith('.md'))

const textOf = (page: string): string => readFileSync(join(projectRoot, page), 'utf8')

/** What a user reads: not what has changed, nor what was decided. */
const guide = pages.filter((page) => page === 'README.md' || /^docs\/[^/]+\.md$/.test(page))
const guideText = guide.map(textOf).join('\n')

/** As a heading's link is made of its text. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')

const KINDS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']

describe('the docs', () => {
  it('have no link to a page, or a heading, that is not there', () => {
    const broken: string[] = []
    for (const page of pages) {
      for (const [, target = ''] of textOf(page).matchAll(/\]\(([^()\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue
        const [path = '', anchor] = target.split('#')
        const file = path === '' ? page : join(dirname(page), path)
        if (!existsSync(join(projectRoot, file))) broken.push(`${page}: ${target}`)
        else if (anchor !== undefined) {
          const headings = [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
            anchorOf(heading),
          )
          if (!headings.includes(anchor)) broken.push(`${page}: ${target}`)
        }
      }
    }
    expect(broken).to.deep.equal([])
  })

  it('name every setting', () => {
    const settings = new Set<string>()
    const get = (_: object, name: string | symbol) => void settings.add(String(name))
    readSettings(new Proxy<Record<string, string | undefined>>({}, { get }))
    expect([...settings].filter((name) => !guideText.includes(`\`${name}\``))).to.deep.equal([])
  })

  it('name every command', async () => {
    const { stdout } = await cli(['--help'], projectRoot)
    const names = [...stdout.matchAll(/^ {2}([a-z-]+) {2}/gm)].map(([, name = '']) => name)
    expect(names).to.include('doctor')
    expect(names.filter((name) => !guideText.includes(`\`${name}`))).to.deep.equal([])
  })

  it('name every code of a problem', () => {
    expect(Object.keys(problems).filter((code) => !guideText.includes(`\`${code}\``))).to.deep.equal([])
  })

  it('have a changelog in the form of Keep a Changelog, with what is to come on top', () => {
    const [first, ...older] = textOf('CHANGELOG.md').split(/^## /m).slice(1)
    expect(first).to.match(/^\[Unreleased\]\n/)
    for (const release of older) expect(release).to.match(/^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d\n/)
    for (const release of [first, ...older]) {
      const kinds = [...(release ?? '').matchAll(/^### (.*)$/gm)].map(([, kind = '']) => kind)
      expect(kinds).to.deep.equal(KINDS.filter((kind) => kinds.includes(kind)))
    }
  })
})
