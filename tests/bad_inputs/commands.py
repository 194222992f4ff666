"""Commands that ask for what does not exist or makes no sense."""

from head2toe.tests.bad_inputs.bad_input import BadInput, both, remove, write

ROWS = (
    BadInput("", "run digts", 2, "no task or folder 'digts': did you mean digits or dtd?"),
    BadInput("", "run no/such/folder", 2, "no task or folder 'no/such/folder': `head2toe tasks` lists the names."),
    BadInput(
        "",
        "run dtd",
        1,
        (
            "no data for task dtd: looked in data/vtab-1k/dtd, data/dtd; put VTAB-1k's folder there "
            "(train800.txt, val200.txt, test.txt with lines like 'images/train800/000000.jpg 23', and "
            "images/), set HEAD2TOE_DATA to the folder that holds vtab-1k/, or pass --download tfds "
            "(VTAB-1k's own rows; extra tfds), or --download torchvision (rows drawn anew)"
        ),
    ),
    BadInput(
        "",
        "run digits --methods l22",
        2,
        (
            "methods: 'l22' is none of linear, knn, ncm, layerwise, random, all-l2, all-l1, all-l21, l21, "
            "head2toe, head2toe-paper, finetune, scratch"
        ),
    ),
    BadInput(
        "",
        "run digits --methods ''",
        2,
        (
            "methods: '' is none of linear, knn, ncm, layerwise, random, all-l2, all-l1, all-l21, l21, "
            "head2toe, head2toe-paper, finetune, scratch"
        ),
    ),
    BadInput("", "run digits --standardize l2", 2, "standardize: 'l2' is none of none, unit, feature, unit+feature"),
    BadInput(
        "",
        "run digits --metric f1",
        2,
        ("Invalid value for '--metric': 'f1' is not one of 'accuracy', 'balanced_accuracy', 'log_loss', 'auroc'."),
    ),
    BadInput(
        "",
        "run digits --score l3",
        2,
        (
            "Invalid value for '--score': 'l3' is not one of 'l21', 'l1', 'linf', 'layer', 'variance', "
            "'f_classif', 'mutual_info', 'random', 'trees'."
        ),
    ),
    BadInput("", "run digits --backbone resnet5O", 2, "unknown backbone 'resnet5O': did you mean resnet50…?"),
    BadInput(
        "",
        "run digits --weights none.pth",
        2,
        "no weights 'none.pth': expected hub, random, package:<name> or a .safetensors or .pth file",
    ),
    BadInput(
        "",
        "run digits --backbone resnet18 --weights a.pth --weights b.pth",
        2,
        "2 times --weights for 1 backbones: give it once for all, or once for each",
    ),
    BadInput("", "extract digits --device cuda:9", 2, "no device cuda:9: torch sees 0 CUDA devices; use --device cpu"),
    BadInput("", "extract digits --device gpu", 2, "unknown device 'gpu': auto, cpu, cuda or cuda:<n>"),
    BadInput("", "extract digits --device mps", 2, "unsupported device 'mps': auto, cpu, cuda or cuda:<n>"),
    BadInput(
        "",
        "extract digits --device cuda:0,cuda:1",
        2,
        "no device cuda:0: torch sees 0 CUDA devices; use --device cpu",
    ),
    BadInput(
        "", "run digits --device cuda:0,", 2, "--device 'cuda:0,': a name is missing beside a comma: cuda:0,cuda:1"
    ),
    BadInput(
        "",
        "run digits --device 'cuda:0, cuda:1'",
        2,
        "--device 'cuda:0, cuda:1': write several devices without spaces: cuda:0,cuda:1",
    ),
    BadInput(
        "",
        "run digits --device cuda:0,cuda:0",
        2,
        "--device 'cuda:0,cuda:0': cuda:0 is named twice: name each once; --cluster local:N has more processes",
    ),
    BadInput(
        "",
        "run digits --device cpu,cuda:0",
        2,
        "--device 'cpu,cuda:0': 'cpu' can't be one of several devices, which are GPUs: cuda:0,cuda:1",
    ),
    BadInput(
        "",
        "run digits --device cuda:0,cuda:1 --cluster tcp://host:8786",
        2,
        "--device cuda:0,cuda:1 names devices of this machine: leave --cluster tcp://host:8786 out",
    ),
    BadInput(
        "",
        "extract digits --device cuda:0,cuda:1 --cluster local:1",
        2,
        (
            "--cluster local:1 --device cuda:0,cuda:1: fewer processes of this machine than devices: --cluster "
            "local:2 or more, or leave it out"
        ),
    ),
    BadInput(
        "",
        "run digits --target-size 0",
        2,
        "target size, batch size, input size and pixels of an image must be 1 or more",
    ),
    BadInput(
        "",
        "run digits --input-size 0",
        2,
        "target size, batch size, input size and pixels of an image must be 1 or more",
    ),
    BadInput(
        "",
        "run digits --batch-size -1",
        2,
        "target size, batch size, input size and pixels of an image must be 1 or more",
    ),
    BadInput(
        "",
        "run digits --max-pixels 0",
        2,
        "target size, batch size, input size and pixels of an image must be 1 or more",
    ),
    BadInput("", "run digits --seed -1", 2, "a seed is a number from 0 to 4294967295, not -1"),
    BadInput("", "run digits --seed 4294967296", 2, "a seed is a number from 0 to 4294967295, not 4294967296"),
    BadInput("", "run digits --seed one", 2, "Invalid value for '--seed': 'one' is not a valid integer."),
    BadInput(
        "",
        "run digits --folds 1",
        2,
        "folds: '1' is none of auto, vtab5, stratified, 800/200, holdout, nor a number from 2 on",
    ),
    BadInput(
        "",
        "run digits --folds ten",
        2,
        "folds: 'ten' is none of auto, vtab5, stratified, 800/200, holdout, nor a number from 2 on",
    ),
    BadInput(
        "",
        "run photos --folds 800/200 …",
        1,
        (
            "12 training images in ImageFolder photos: --folds 800/200 is for VTAB-1k's 1000; --folds "
            "holdout takes the task's own validation images, or a fifth of the others"
        ),
    ),
    BadInput("", "run photos --folds 40 …", 1, "12 training images in ImageFolder photos: too few for 40 folds"),
    BadInput(
        "",
        "run photos --folds holdout --nested …",
        2,
        "--nested needs three folds or more, and --folds holdout is one held-out part",
    ),
    BadInput(
        "",
        "run digits --nested --methods finetune",
        2,
        "--nested trains no backbones again and again: leave finetune out",
    ),
    BadInput("", "run digits --finetune-steps 0", 2, "steps of fine-tuning must be 1 or more"),
    BadInput(
        "",
        "run digits --score-offset -1",
        2,
        ("a score's offset is 0 or more, its runs 1 or more, and its layer share from 0 to 1, not -1, 1 and 0.0"),
    ),
    BadInput(
        "",
        "run digits --score-layer-share 2",
        2,
        ("a score's offset is 0 or more, its runs 1 or more, and its layer share from 0 to 1, not 0, 1 and 2.0"),
    ),
    BadInput(
        "",
        "run photos --score-offset 1000000 --methods head2toe …",
        2,
        "a score's offset of 1000000 leaves none of 96 features",
    ),
    BadInput(
        "", "run digits --label-column kind", 2, "--path-column and --label-column are for tables, and digits is none"
    ),
    BadInput(
        "", "run photos --path-column file", 2, "--path-column and --label-column are for tables, and photos is none"
    ),
    BadInput(
        "",
        "run diabetic_retinopathy --download torchvision",
        2,
        (
            "no download of task retinopathy through torchvision (there is for cifar, caltech101, dtd, "
            "oxford_flowers102, oxford_iiit_pet, svhn, sun397, patch_camelyon, eurosat): put VTAB-1k's "
            "folder at data/vtab-1k/diabetic_retinopathy, or use TensorFlow Datasets (pip install "
            "'head2toe[tfds]')"
        ),
    ),
    BadInput("a typing error in an option: `--fold 3`", "run digits --fold 3", 2, "No such option…"),
    BadInput("a typing error in a command: `predit`", "predit model photos", 2, "No such command…"),
    BadInput("", "run", 2, "Missing argument 'TASK'."),
    BadInput("", "layers", 2, "name a backbone: head2toe layers resnet50"),
    BadInput("", "layers resnet5O", 2, "unknown backbone 'resnet5O': did you mean resnet50…?"),
    BadInput(
        "",
        "layers resnet18 --taps 'x*'",
        2,
        (
            "taps 'x*' match nothing: use h2t, blocks, all or patterns over names like act1, layer1.1.act2, "
            "layer3.0.act1, layer4.0.act2"
        ),
    ),
    BadInput(
        "",
        "layers test_vit --input-size 20",
        2,
        (
            "test_vit can't take images of 20 pixels (Input height (20) should be divisible by patch size "
            "(16).): choose another --input-size"
        ),
    ),
    BadInput("", "layers resnet18 --images 0", 2, "Invalid value for '--images': 0 is not in the range x>=1."),
    BadInput("", "layers 'nothing*' --check-all", 2, "no model of timm's matches 'nothing*'"),
    BadInput("", "results --json --csv", 2, "--json and --csv exclude each other: choose one"),
    BadInput("", "curve photos --sizes 10,x …", 2, "--sizes '10,x': whole numbers with commas, such as 100,200,400"),
    BadInput(
        "",
        "curve photos …",
        2,
        "a learning curve takes three sizes of 12 rows or more, the largest of all: … rows are too few for that",
    ),
    BadInput(
        "",
        "curve photos --methods finetune …",
        2,
        "a curve trains no backbones again and again: leave finetune out",
    ),
    BadInput(
        "",
        "curve photos --sizes 8,10,12 --folds holdout …",
        2,
        "a learning curve needs 3 folds or more, and the task has 1: try --folds stratified",
    ),
    BadInput(
        "", "curve photos -o curve.png …", 2, "-o curve.png: the curve is drawn as SVG: give its file the suffix .svg"
    ),
    BadInput("", "try photos --images 0 …", 2, "Invalid value for '--images': 0 is not in the range x>=1."),
    BadInput(
        "",
        "try photos --images 3 …",
        2,
        "3 images are too few to try backbones on: 4 at least, two of each class",
    ),
    BadInput("", "curve RUN …", 2, "results/… is the folder of a run, not of images: name the task that was run"),
    BadInput(
        "a folder of runs",
        "audit results …",
        2,
        "results is a folder of runs, not of images: name one of them, or the task that was run",
        both(write("results/one/predictions.parquet", ""), write("results/one/config.json", "")),
    ),
    BadInput(
        "a run that lost its result.json",
        "audit lost …",
        2,
        "lost is the folder of a run (its result.json is missing), not of images: name the task that was run",
        both(write("lost/predictions.parquet", ""), write("lost/summary.md", "")),
    ),
    BadInput("", "audit photos --json --csv …", 2, "--json and --csv exclude each other: choose one"),
    BadInput("", "audit photos --manifest better.csv …", 2, "--manifest goes with --apply DECISIONS"),
    BadInput("", "audit photos --csv-safe …", 2, "--csv-safe goes with --csv"),
    BadInput(
        "decisions to apply, and a table to print",
        "audit photos --apply decisions.csv --csv …",
        2,
        "--apply writes a manifest alone: leave --csv out, or --apply",
        write("decisions.csv", "image,action\n"),
    ),
    BadInput(
        "decisions to apply, and a page to write",
        "audit photos --apply decisions.csv -o page.html …",
        2,
        "--apply writes a manifest alone: leave -o out, or --apply",
        write("decisions.csv", "image,action\n"),
    ),
    BadInput("", "audit phots …", 2, "no task or folder 'phots'…"),
    BadInput("", "audit photos --apply gone.csv …", 2, "Invalid value for '--apply': File 'gone.csv' does not exist."),
    BadInput(
        "a corrected manifest that exists",
        "audit photos --apply decisions.csv --manifest better.csv …",
        2,
        "better.csv exists, and is not overwritten: choose another file with --manifest FILE",
        both(write("decisions.csv", "image,action\n"), write("better.csv")),
    ),
    BadInput(
        "decisions about an image that the task has not",
        "audit photos --apply decisions.csv …",
        2,
        "decisions.csv, line 2: no image 'gone.jpg' in task photos",
        write("decisions.csv", "image,action\ngone.jpg,remove\n"),
    ),
    BadInput(
        "two decisions about one image",
        "audit photos --apply decisions.csv …",
        2,
        "decisions.csv, line 3: photos/train/cat/0.png is to be removed and to be 'dog'",
        write(
            "decisions.csv", "image,action,suggestion\n{0},remove,\n{0},relabel,dog\n".format("photos/train/cat/0.png")
        ),
    ),
    BadInput(
        "decisions that leave one image of a class",
        "audit photos --apply decisions.csv …",
        1,
        "class 'cat' of task photos would have 1 training image left: keep another, or remove this one, too",
        write("decisions.csv", "image,action\n" + "".join(f"photos/train/cat/{i}.png,remove\n" for i in range(1, 6))),
    ),
    BadInput(
        "a corrected manifest that is no table of text",
        "audit photos --apply decisions.csv --manifest better.parquet …",
        2,
        "--manifest better.parquet: a manifest is a table of text: give its file the suffix .csv",
        write("decisions.csv", "image,action\n"),
    ),
    BadInput(
        "decisions without a column of them",
        "audit photos --apply decisions.csv …",
        2,
        "decisions.csv has no column 'action': decisions have image, action and, to relabel, suggestion",
        write("decisions.csv", "image\n1.jpg\n"),
    ),
    BadInput("", "forget RUN --method linear", 2, "Missing option '--image'."),
    BadInput(
        "a model to forget an image from that no run left",
        "forget model --image photos/train/cat/0.png --results elsewhere",
        2,
        "no run below elsewhere left the model model: name the folder of its run, or --results DIR",
    ),
    BadInput(
        "an image to forget that the task has not",
        "forget model --image photos/train/cat/none.png",
        2,
        "photos/train/cat/none.png is no training image of photos: give its file, or its name in the task, such as…",
    ),
    BadInput(
        "an image to forget that trained nothing",
        "forget model --image photos/test/cat/0.png",
        2,
        "photos/test/cat/0.png is a test image of photos: the model was not trained on it",
    ),
    BadInput(
        "an image to forget that was deleted before",
        "forget model --image photos/train/cat/0.png",
        2,
        "results/…is not what photos gives today (images, labels or head2toe changed): head2toe run photos…",
        remove("photos/train/cat/0.png"),
    ),
    BadInput(
        "the folder of the results is a file",
        "run photos … --output file/results",
        1,
        "file/results: can't be made, for file can't be written: choose another folder with --output DIR",
        write("file"),
    ),
    BadInput(
        "the folder of the stores can't be made",
        "extract photos … --store /dev/null/x",
        1,
        ("/dev/null: a file of this name is there already: choose another folder with --store DIR or HEAD2TOE_STORE"),
    ),
    BadInput(
        "`--store` is a file",
        "extract photos … --store file",
        2,
        "Invalid value for '--store': Directory 'file' is a file.",
        write("file"),
    ),
    BadInput(
        "`--taps` without what the linear probe reads",
        "run photos … --taps 'conv1*' --methods linear",
        1,
        "the store has no layer 'pre_logits', which the linear probe reads: add it to --taps",
    ),
    BadInput(
        "`--save-model` with methods that leave none",
        "run photos … --methods knn --save-model m",
        2,
        "no method of results/photos-test_resnet-… leaves a model to save: run head2toe, l21 or linear",
    ),
    BadInput(
        "`--save-model` to a folder of something else",
        "run photos … --methods linear --save-model photos --fresh",
        2,
        "photos is there already and no model: choose another folder with --save-model DIR",
        both(remove("results"), write("photos/notes.txt")),
    ),
)
