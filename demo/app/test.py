#!/usr/bin/python3
"""Uses the page as people do, in headless Chromium; prints TAP.

The arguments are a file for a screenshot, and commands that stop and start the database,
which is that of PGHOST, PGDATABASE, ...
"""

import subprocess
import sys
import threading

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import server

screenshot, stop, start = sys.argv[1:]
page = server.listen(0)
threading.Thread(target=page.serve_forever, daemon=True).start()
address = f'http://localhost:{page.server_port}/'
tests = 0
failed = 0

options = webdriver.ChromeOptions()
for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--hide-scrollbars',
                 '--window-size=1200,1040'):
    options.add_argument(argument)
browser = webdriver.Chrome(options=options)


def check(passed, name):
    global tests, failed
    tests += 1
    failed += not passed
    print(f'{"ok" if passed else "not ok"} {tests} - {name}', flush=True)


def all_of(selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def texts(selector):
    """What elements say, read at one time."""
    return browser.execute_script(
        'return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)', selector)


def wait_for(condition):
    WebDriverWait(browser, 60).until(lambda _: condition())


def comes(condition, name):
    """Passes if a condition comes true."""
    try:
        wait_for(condition)
        check(True, name)
    except Exception as error:
        check(False, f'{name}: {error}')


def press(*keys):
    for key in keys:
        webdriver.ActionChains(browser).send_keys(key).perform()


def click(selector):
    """Clicks, as soon as it is there, what may be replaced at any time."""
    wait_for(lambda: browser.execute_script(
        'const e = document.querySelector(arguments[0]); e?.click(); return Boolean(e)', selector))


def label(text):
    return f'[aria-label="{text}"]'


def items(section):
    return texts(f'#{section} ol a')


browser.get(address)
comes(lambda: len(items('goes_with')) == 10, 'a package is there, and ten that go with it')
check('python3-scipy' in items('goes_with'), 'scipy goes with numpy')

# the keyboard alone
press(Keys.TAB)
check(browser.switch_to.active_element.get_attribute('id') == 'search', 'the first stop of Tab is the search')
press('redmin')
comes(lambda: texts('#found li') and texts('#found li')[0].startswith('redmine\n'), 'a few letters find it')
press(Keys.ARROW_DOWN)
check([e.get_attribute('aria-selected') for e in all_of('#found li')][:2] == ['false', 'true'], 'arrows walk')
press(Keys.ARROW_UP, Keys.ENTER)
comes(lambda: texts('#name') == ['redmine'], 'Enter opens it')
comes(lambda: 'ruby-activesupport' in items('might_need'), 'redmine might need more of Ruby')
check('#package=redmine' in browser.current_url, 'the address says so')
press('no-such-package')
comes(lambda: texts('#found div') == ['No such package'], 'what is not there is not found')
press(Keys.ESCAPE)
check(not browser.find_element(By.ID, 'found').is_displayed(), 'Escape closes the list')

why = all_of(label('Why ruby-activesupport?'))[0]
why.send_keys(Keys.ENTER)
comes(lambda: len(texts('.because li')) == 6, 'why has five reasons')
check(any(t.startswith('ruby\n') for t in texts('.because li')), 'Ruby is one')
why.send_keys(Keys.ENTER)
check(texts('.because') == [], 'and hides them')

# lists of what differs
plain = items('might_need')
slider = all_of('#might_need input')[0]
for _ in range(10):
    slider.send_keys(Keys.ARROW_RIGHT)
check(texts('#might_need output') == ['0.50'], 'the slider moves by keys')
comes(lambda: items('might_need') not in ([], plain) and items('might_need')[0] == plain[0],
      'the list varies, the best stays first')
check('diversity=0.5' in browser.current_url, 'the address says so')

# the basket
browser.get(f'{address}#package=nginx')
comes(lambda: texts('#name') == ['nginx'], 'an address opens a package')
click('#take')
comes(lambda: texts('.chips li') == ['nginx\n×'] or texts('.chips li') == ['nginx×'], 'it goes into the basket')
comes(lambda: 'apache2' in items('for_basket'), 'which gives recommendations')
for name in 'php-fpm', 'libgeoip1':
    click('#goes_with ' + label(f'Add {name} to the basket'))
    wait_for(lambda: name in ''.join(texts('.chips')))
click(label('Remove libgeoip1 from the basket'))
comes(lambda: len(texts('.chips li')) == 2 and len(items('for_basket')) == 10, 'what is added can be removed')
wait_for(lambda: 'php-common' in items('for_basket'))
check('php-fpm' not in items('for_basket'), 'what is in it is not recommended')
comes(lambda: 'als_recommend_for_as' in texts('#for_basket details')[0] or click('#for_basket summary'),
      'each list shows its SQL')
browser.back()
comes(lambda: len(texts('.chips li')) == 3, 'Back goes back')

browser.get(f'{address}#package=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E')
comes(lambda: texts('#facts') == ['There is no package of this name.'], 'an address may say anything')
check(texts('#name') == ['<img src=x onerror=alert(1)>'] and all_of('img') == [], 'it is shown as text')
comes(lambda: 'Too few packages need it.' in texts('#goes_with')[0], 'and has no neighbours')
browser.get(f'{address}#package=nginx&diversity=7')
comes(lambda: any('diversity must be between 0 and 1' in t for t in texts('#might_need .error')),
      "the database's errors are shown")
comes(lambda: len(items('goes_with')) == 10, 'where they belong')

subprocess.run(stop, shell=True, check=True)
browser.get(f'{address}#package=gimp&diversity=0')
comes(lambda: len(texts('#goes_with .error')) == 1, 'that there is no database is shown')
subprocess.run(start, shell=True, check=True)
browser.get(f'{address}#package=redmine&basket=nginx+php-fpm+mariadb-server&diversity=0&variety=0.2')
comes(lambda: len(items('goes_with')) == 10 and len(items('for_basket')) == 10 and texts('.error') == [],
      'once it is back, so is the page')

# the picture is of a server that has been asked before
browser.refresh()
click(label('Why ruby-railties?'))
wait_for(lambda: texts('.because'))
browser.execute_script('document.activeElement.blur(); window.scrollTo(0, 0)')
browser.save_screenshot(screenshot)
log = [entry['message'] for entry in browser.get_log('browser') if ' 400 ' not in entry['message'] and ' 503 ' not in entry['message']]
check(log == [], f'no errors of the page: {log}')

browser.quit()
print(f'1..{tests}')
sys.exit(failed > 0)
