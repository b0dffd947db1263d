import { expect } from 'chai'
import { anchorsOf, blocksOf, brokenLinks, documents, linksIn, textOf } from '../support/project/documents.ts'

const KINDS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']

describe('links between the documents', () => {
  for (const path of [...documents, 'CHANGELOG.md', 'CONTRIBUTING.md']) {
    it(`${path} leads to files and headings that exist`, () => {
      expect(brokenLinks(path, textOf(path))).to.deep.equal([])
    })
  }

  it('reach every page from the index', () => {
    const index = linksIn(textOf('docs/README.md'))
    const pages = documents.filter((path) => /^docs\/[^/]+\.md$/.test(path) && path !== 'docs/README.md')
    expect(pages.length).to.be.greaterThan(10)
    expect(index).to.include.members(pages.map((path) => path.slice('docs/'.length)))
  })
})

describe('the changelog', () => {
  it('has the form of Keep a Changelog, with what is to come on top', () => {
    const [first, ...older] = textOf('CHANGELOG.md').split(/^## /m).slice(1)
    expect(first).to.match(/^\[Unreleased\]\n/)
    for (const release of older) expect(release).to.match(/^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d\n/)
    for (const release of [first, ...older]) {
      const kinds = [...(release ?? '').matchAll(/^### (.*)$/gm)].map(([, kind = '']) => kind)
      expect(kinds).to.deep.equal(KINDS.filter((kind) => kinds.includes(kind)))
    }
  })
})

describe('the reader of documents', () => {
  const text = [
    '# One `code`, two!',
    '[a](b.md) [here](#three) ![](https://elsewhere.example/c.png)',
    '## Three',
    '## Three',
    '- in a list:',
    '',
    '  ```sh not run: why',
    '  # no heading, and [no](link.md)',
    '  ```',
  ].join('\n')

  it('makes anchors as GitHub does', () => {
    expect(anchorsOf(text)).to.deep.equal(['one-code-two', 'three', 'three-1'])
  })

  it('finds blocks in lists, without the indentation', () => {
    expect(blocksOf(text)).to.deep.equal([
      { info: 'sh not run: why', text: '# no heading, and [no](link.md)\n' },
    ])
  })

  it('names a file or a heading that is not there', () => {
    expect(brokenLinks('docs/page.md', text)).to.deep.equal(['docs/page.md: there is no docs/b.md'])
    expect(brokenLinks('docs/page.md', text, ['docs/b.md'])).to.deep.equal([])
    expect(brokenLinks('docs/page.md', '[](../README.md#nothing) [](#nowhere)')).to.deep.equal([
      'docs/page.md: README.md has no #nothing',
      'docs/page.md: docs/page.md has no #nowhere',
    ])
  })
})
